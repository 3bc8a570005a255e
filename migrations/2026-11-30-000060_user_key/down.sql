DROP DOMAIN user_key;
