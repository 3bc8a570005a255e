//! Ids of users of each type. The tests write small numbers; a database with other ids casts them.

use aggregation::UserIdType;

/// The type of user ids in the tests' databases. `just test-user-ids` sets the others.
pub fn of_tests() -> UserIdType {
    match std::env::var("DAYFOLD_TEST_USER_ID") {
        Ok(name) => UserIdType::from_name(&name).unwrap_or_else(|| panic!("no type {name}")),
        Err(_) => UserIdType::Bigint,
    }
}

/// The beginning of the UUID of each number.
const UUID: &str = "00000000-0000-4000-8000-";

/// The id of a number.
pub fn id(id_type: UserIdType, number: i64) -> String {
    match id_type {
        UserIdType::Bigint | UserIdType::Text => number.to_string(),
        UserIdType::Uuid => format!("{UUID}{number:012x}"),
    }
}

/// SQL by which the server accepts a number as the id of a user.
pub fn casts(id_type: UserIdType) -> String {
    match id_type {
        UserIdType::Bigint => String::new(),
        UserIdType::Uuid => ["integer", "bigint"].map(cast_to_uuid).concat(),
        UserIdType::Text => "CREATE CAST (integer AS text) WITH INOUT AS IMPLICIT".to_owned(),
    }
}

fn cast_to_uuid(number: &str) -> String {
    format!(
        "CREATE FUNCTION user_of({number}) RETURNS uuid LANGUAGE sql IMMUTABLE
             AS $$ SELECT ('{UUID}' || lpad(to_hex($1), 12, '0'))::uuid $$;
         CREATE CAST ({number} AS uuid) WITH FUNCTION user_of({number}) AS IMPLICIT;"
    )
}

/// The arguments of the worker, with the number behind `--user` as an id.
pub fn in_arguments(id_type: UserIdType, arguments: &[&str]) -> Vec<String> {
    let mut is_user = false;
    let arguments = arguments.iter().map(|argument| {
        let number = if is_user { argument.parse().ok() } else { None };
        is_user = *argument == "--user";
        number.map_or_else(|| (*argument).to_owned(), |number| id(id_type, number))
    });
    arguments.collect()
}

/// An output of the database with the numbers of ids.
pub fn in_numbers(output: &str) -> String {
    let mut parts = output.split(UUID);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(12);
        text.push_str(&i64::from_str_radix(digits, 16).unwrap().to_string());
        text.push_str(rest);
    }
    text
}
