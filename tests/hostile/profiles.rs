//! Profiles of hostile users, whose ids are below 0.

use super::texts::Dice;
use crate::support::Database;

/// How many users with a profile there are below 0.
pub const USERS: i64 = 24;

/// Orders of sources that an array can hold, as PostgreSQL reads them.
const ORDERS: [&str; 8] = [
    "{}",
    "{watch,phone,watch,watch}",
    "{NULL,watch,NULL}",
    "{\"\",\" \",phone}",
    "{{watch,phone},{ring,zqx}}",
    "[0:1]={watch,phone}",
    "{\"zqx'; DROP TABLE user_profiles; --\",\"zqx\\\"\"}",
    "[-3:-2][5:5]={{watch},{NULL}}",
];

/// Inserts the profiles and says how many there are.
pub async fn insert(db: &Database, dice: &mut Dice) -> usize {
    for user in 1..=USERS {
        let zone = if user % 3 == 0 {
            "Europe/Berlin".to_owned()
        } else {
            dice.zone().unwrap_or_default()
        };
        let order = ORDERS[user as usize % ORDERS.len()];
        db.client
            .execute(
                "INSERT INTO user_profiles VALUES ($1, $2, $3::text::text[])",
                &[&-user, &zone, &order],
            )
            .await
            .unwrap();
    }
    let many: Vec<String> = (0..2_000).map(|_| dice.any_text()).collect();
    let insert = "INSERT INTO user_profiles VALUES ($1, 'UTC', $2)";
    db.client.execute(insert, &[&i64::MIN, &many]).await.unwrap();
    USERS as usize + 1
}
