use super::super::Secret;
use super::{assert_variable_problem, entry, loaded, problems};
use alerts::Rule;

#[test]
fn mail_needs_a_sender_and_somebody_to_get_it() {
    let found = problems("[mail]\nhost = \"mail.example.org\"\n", &[]);
    assert_eq!(
        found,
        "mail.from must not be empty where mail.host is set\n\
         mail.to must not be empty where mail.host is set"
    );
}

#[test]
fn a_log_in_needs_a_password_and_encryption() {
    let found = problems("[mail]\nuser = \"dayfold\"\ntls = \"none\"\n", &[]);
    assert_eq!(
        found,
        "mail.password must not be empty where mail.user is set\n\
         mail.tls = none (in FILE line 3) must be starttls or implicit where mail.user is set: \
         anybody on the way could read the password"
    );
}

#[test]
fn several_people_with_and_without_names_get_mail() {
    let to = "Ops <ops@example.org>, night@example.org";
    let mail = loaded("", &[("WORKER__MAIL__TO", to)]).config.mail;
    assert_eq!(mail.to.iter().count(), 2);
}

#[test]
fn what_is_no_address_is_refused_without_being_shown() {
    assert_variable_problem(
        "WORKER__MAIL__FROM",
        "hunter2geheim",
        "mail.from from WORKER__MAIL__FROM must be one address, such as \"ops@example.org\"",
    );
    assert_variable_problem(
        "WORKER__WEBHOOK__URL",
        "hooks.example.org/hunter2geheim",
        "webhook.url from WORKER__WEBHOOK__URL must be http://HOST/PATH or https://HOST/PATH, \
         without a user or password",
    );
}

#[test]
fn a_mail_server_is_a_name_or_an_address_and_anything_else_is_not_shown() {
    for host in ["mail.example.org", "mail_1-a", "192.0.2.1", "2001:db8::1", " localhost "] {
        let with = [
            ("WORKER__MAIL__HOST", host),
            ("WORKER__MAIL__FROM", "a@example.org"),
            ("WORKER__MAIL__TO", "b@example.org"),
        ];
        assert_eq!(loaded("", &with).config.mail.host, host.trim());
    }
    for host in [
        "smtp://dayfold:hunter2geheim@mail.example.org",
        "mail.example.org:587",
        "mail.example.org/hunter2geheim",
        "mail example.org",
        "[2001:db8::1]",
    ] {
        assert_variable_problem(
            "WORKER__MAIL__HOST",
            host,
            "mail.host from WORKER__MAIL__HOST must be the name of a host or an IP address, such \
             as mail.example.org",
        );
    }
}

#[test]
fn rules_are_put_off_by_name_and_an_unknown_one_is_refused() {
    let off = loaded("[alerts]\noff = \"dead_rows pool_usage\"\n", &[]).config.alerts.off;
    assert_eq!(off, [Rule::DeadRows, Rule::PoolUsage]);
    assert_variable_problem(
        "WORKER__ALERTS__OFF",
        "dead_row",
        "alerts.off from WORKER__ALERTS__OFF must be names of rules, such as dead_rows, separated \
         by spaces",
    );
}

#[test]
fn the_first_pause_is_not_longer_than_the_longest() {
    let found = problems("[alerts]\nretry_first_seconds = 9\nretry_max_seconds = 8\n", &[]);
    assert_eq!(
        found,
        "alerts.retry_first_seconds = 9.0 (in FILE line 2) must not be more than \
         alerts.retry_max_seconds = 8.0 (in FILE line 3)"
    );
}

#[test]
fn password_and_webhook_are_secret_and_may_be_credentials() {
    let folder = std::env::temp_dir().join(format!("worker-credentials-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("mail-password"), "hunter2geheim\n").unwrap();
    std::fs::write(folder.join("webhook-url"), "https://hooks.example.org/hunter2geheim\n")
        .unwrap();
    let loaded = loaded("", &[("CREDENTIALS_DIRECTORY", folder.to_str().unwrap())]);
    std::fs::remove_dir_all(&folder).unwrap();

    assert_eq!(loaded.config.mail.password, Secret::new("hunter2geheim".to_owned()));
    let set = |credential: &str| ("(set)".to_owned(), format!("credential {credential}"));
    assert_eq!(entry(&loaded, "mail.password"), set("mail-password"));
    assert_eq!(entry(&loaded, "webhook.url"), set("webhook-url"));
    let printed = format!("{loaded:?}");
    assert!(!printed.contains("hunter2geheim"), "{printed}");
}
