//! Messages about one of several targets.

use super::Schemas;
use crate::support::Ran;
use crate::support::outside::{assert_says, eventually as so};
use crate::support::receivers::{Encryption, Receiver};

#[tokio::test]
async fn alerts_and_changed_days_say_of_which_target_they_are() {
    let schemas = Schemas::new(&["a", "b"]).await;
    let (posts, mails) =
        (Receiver::of_posts(Encryption::None), Receiver::of_mail(Encryption::None));
    let (address, port) = (format!("http://127.0.0.1:{}/", posts.port), mails.port.to_string());
    let settings = [
        ("WORKER__WEBHOOK__URL", address.as_str()),
        ("WORKER__MAIL__HOST", "127.0.0.1"),
        ("WORKER__MAIL__PORT", &port),
        ("WORKER__MAIL__TLS", "none"),
        ("WORKER__MAIL__FROM", "dayfold@example.org"),
        ("WORKER__MAIL__TO", "ops@example.org"),
        ("WORKER__CHANGES__WEBHOOK_URL", &address),
        ("WORKER__CHANGES__WEBHOOK_SECRET", "a-key-of-the-tests"),
    ];
    let service = schemas.serve(&schemas.configuration(&["a", "b"]), &settings);
    schemas
        .db
        .execute(
            "INSERT INTO b.aggregation_queue
                 (kind, user_id, starts_at, ends_at, raw_ids, state, not_before, last_error)
             VALUES ('vitals', 9, now(), now(), '{1}', 'dead', 'infinity', 'internal')",
        )
        .await;
    schemas.insert("a", 1).await;

    so("both messages have arrived", || {
        let bodies: Vec<_> = posts.posts().into_iter().map(|(_, body)| body).collect();
        let alert = bodies.iter().find(|body| body["rule"] == "dead_rows");
        let changes = bodies.iter().find(|body| body["changes"].is_array());
        alert.is_some_and(|body| body["target"] == "b")
            && changes.is_some_and(|body| body["target"] == "a")
    });
    so("the mail has arrived", || !mails.mails().is_empty());
    let mail = mails.mails().remove(0);
    assert!(mail.header("Subject").starts_with("[dayfold] b: dead_rows fires: "), "{mail:?}");
    assert!(mail.data.contains("target: b\r\n"), "{mail:?}");
    service.stops();
}

#[tokio::test]
async fn a_test_message_names_the_target_that_the_command_line_names() {
    let schemas = Schemas::new(&[]).await;
    let all = schemas.configuration(&["a", "b"]);
    let posts = Receiver::of_posts(Encryption::None);
    let address = format!("http://127.0.0.1:{}/", posts.port);
    let test = |targets: &[&str]| {
        let mut command = schemas.worker(&all);
        command.args(["alerts", "test"]).args(targets).env("WORKER__WEBHOOK__URL", &address);
        Ran::of(command.output().unwrap())
    };
    for (targets, name) in [(&["--target", "b"][..], Some("b")), (&[], None)] {
        let ran = test(targets);
        assert_eq!(ran.code, 0, "{ran:?}");
        let (_, body) = posts.posts().pop().unwrap();
        assert_eq!(body.get("target").and_then(|target| target.as_str()), name, "{body}");
    }
    let ran = test(&["--target", "a", "--target", "b"]);
    assert_eq!((ran.code, posts.posts().len()), (2, 2), "{ran:?}");
    assert_says(&ran.stderr, &["one target", "--target NAME"]);
}
