//! `worker alerts test`: each channel at once, and what became of it.

use std::process::Command;

use tokio::net::TcpSocket;

use super::{LOG_IN, LOG_IN_AS_SENT, MAIL, encrypted, settings};
use crate::support::certificates::Certifier;
use crate::support::outside::{PASSWORD, Scratch, assert_says, refused};
use crate::support::receivers::{Do, Encryption, Receiver, Step};
use crate::support::{Ran, WORKER};

/// The command, with nothing of the caller's environment, and without a database.
fn alerts_test<N: AsRef<str>, V: AsRef<str>>(settings: &[(N, V)]) -> Command {
    let mut command = Command::new(WORKER);
    command.args(["alerts", "test"]).env_clear().env("PATH", "/usr/bin:/bin");
    command.envs(settings.iter().map(|(name, value)| (name.as_ref(), value.as_ref())));
    command
}

fn ran<N: AsRef<str>, V: AsRef<str>>(settings: &[(N, V)]) -> Ran {
    Ran::of(alerts_test(settings).output().unwrap())
}

/// It could not be delivered, for a reason that it tells in one line of stdout.
#[track_caller]
fn fails<N: AsRef<str>, V: AsRef<str>>(settings: &[(N, V)], reason: &str) {
    let ran = ran(settings);
    assert_eq!((ran.code, ran.stdout.lines().count()), (1, 1), "{ran:?}");
    assert_says(&ran.stdout, &["not delivered to ", reason]);
}

#[test]
fn without_anybody_to_tell_it_says_which_keys_to_set() {
    let why = refused(&mut alerts_test::<&str, &str>(&[]));
    assert_says(&why, &["mail.host, mail.from and mail.to, or webhook.url"]);
}

#[test]
fn a_mail_arrives_encrypted_and_after_a_log_in() {
    for (tls, implicit) in [("starttls", false), ("implicit", true)] {
        let (server, _place, ca) = encrypted(implicit);
        let more = [&LOG_IN[..], &[("WORKER__MAIL__CA_FILE", &ca)]].concat();
        let ran = ran(&settings(&server, tls, &more));
        assert_eq!(ran.code, 0, "{ran:?}");
        let port = server.port;
        assert_says(&ran.stdout, &[&format!("mail: delivered to 127.0.0.1:{port} in ")]);

        let [mail] = &server.mails()[..] else { panic!("{:?}", server.mails()) };
        assert!(mail.encrypted && mail.logged_in, "{mail:?}");
        assert_eq!((mail.from.as_str(), mail.to.len()), ("<dayfold@example.org>", 1));
        assert_eq!(mail.header("Subject"), "[dayfold] test: alerts arrive here");
        assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
        assert!(server.said().contains(LOG_IN_AS_SENT));
    }
}

#[test]
fn a_webhook_gets_json_over_http_and_https() {
    let (ours, place) = (Certifier::new("ours"), Scratch::new());
    let ca = place.file("ca.pem", &ours.pem);
    for (scheme, encryption) in
        [("http", Encryption::None), ("https", Encryption::Implicit(ours.server("127.0.0.1")))]
    {
        let server = Receiver::of_posts(encryption);
        let url = format!("{scheme}://127.0.0.1:{}/hook?token={PASSWORD}", server.port);
        let webhook = [
            ("WORKER__WEBHOOK__URL", url.as_str()),
            ("WORKER__WEBHOOK__CA_FILE", ca.to_str().unwrap()),
        ];
        let ran = Ran::of(alerts_test(&webhook).arg("--json").output().unwrap());
        assert_eq!((ran.code, &ran.json()["ok"]), (0, &true.into()), "{ran:?}");
        assert!(!format!("{ran:?}").contains(PASSWORD), "{ran:?}");

        let [(path, json)] = &server.posts()[..] else { panic!("{:?}", server.posts()) };
        assert_eq!(*path, format!("/hook?token={PASSWORD}"));
        assert_eq!((&json["source"], &json["rule"]), (&"dayfold".into(), &"test".into()));
    }
}

#[test]
fn each_channel_tells_in_a_line_of_its_own_how_it_went() {
    let (mail, hook) = (Receiver::of_mail(Encryption::None), Receiver::of_posts(Encryption::None));
    hook.at(Step::Answer, Do::Say("500 No"));
    let url = format!("http://127.0.0.1:{}/", hook.port);
    let ran = ran(&settings(&mail, "none", &[("WORKER__WEBHOOK__URL", &url)]));
    assert_eq!(ran.code, 1, "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_says(lines[0], &["mail: delivered to "]);
    assert_says(lines[1], &["webhook: not delivered to ", "answer: status 500"]);
}

#[test]
fn a_refusal_is_told_with_its_step_and_what_the_server_says() {
    let (server, _place, ca) = encrypted(false);
    let more = [&LOG_IN[..], &[("WORKER__MAIL__CA_FILE", &ca)]].concat();
    let settings = settings(&server, "starttls", &more);
    for (step, says, told) in [
        (Step::Banner, "554 go away", "connect: 554 go away"),
        (Step::Ehlo, "451 not now", "connect: 451 not now"),
        (Step::StartTls, "454 no TLS now", "STARTTLS: 454 no TLS now"),
        (Step::MailFrom, "450 later", "MAIL FROM: 450 later"),
        (Step::RcptTo, "550 5.1.1 no such user", "RCPT TO: 550 5.1.1 no such user"),
        (Step::Data, "452 disk full", "DATA: 452 disk full"),
        (Step::Dot, "554 5.7.1 spam", "message: 554 5.7.1 spam"),
    ] {
        server.at(step, Do::Say(says));
        fails(&settings, told);
        server.behave();
    }
    // A server that refuses a log-in may quote it.
    server.at(Step::Auth, Do::Say("535 wrong: AGRheWZvbGQAaHVudGVyMmdlaGVpbQ=="));
    fails(&settings, "AUTH: 535, the server refuses the log-in");
    server.behave();
    // A farewell that fails is none of the mail's.
    server.at(Step::Quit, Do::Say("421 hm"));
    assert_eq!(ran(&settings).code, 0);
    assert_eq!(server.mails().len(), 1);
}

#[test]
fn a_server_without_starttls_gets_nothing() {
    let server = Receiver::of_mail(Encryption::None);
    fails(&settings(&server, "starttls", &LOG_IN), "STARTTLS: the server does not offer it");
    assert_eq!(server.reached(Step::Auth) + server.reached(Step::MailFrom), 0);
}

#[test]
fn a_wrong_certificate_gets_neither_a_password_nor_a_mail() {
    let (ours, stranger, place) = (Certifier::new("ours"), Certifier::new("no"), Scratch::new());
    let ca = place.file("ca.pem", &ours.pem).to_str().unwrap().to_owned();
    let more = [&LOG_IN[..], &[("WORKER__MAIL__CA_FILE", &ca)]].concat();
    let wrong = [
        // No trusted authority issued it, and it is for another server.
        (stranger.server("127.0.0.1"), "UnknownIssuer"),
        (ours.server("mail.example.org"), "not valid for"),
    ];
    for (tls, told) in wrong {
        for (way, encryption) in [
            ("starttls", Encryption::StartTls(tls.clone())),
            ("implicit", Encryption::Implicit(tls.clone())),
        ] {
            let server = Receiver::of_mail(encryption);
            fails(&settings(&server, way, &more), told);
            assert!(!server.said().contains("AUTH") && server.mails().is_empty());
        }
        let hook = Receiver::of_posts(Encryption::Implicit(tls));
        let url = format!("https://127.0.0.1:{}/{PASSWORD}", hook.port);
        fails(&[("WORKER__WEBHOOK__URL", &url), ("WORKER__WEBHOOK__CA_FILE", &ca)], told);
        assert!(hook.said().is_empty());
    }
}

#[test]
fn a_server_that_hangs_at_any_step_is_given_up() {
    for step in Step::OF_MAIL {
        let (server, _place, ca) = encrypted(false);
        let limits = [
            ("WORKER__MAIL__CONNECT_TIMEOUT_SECONDS", "0.5"),
            ("WORKER__MAIL__SEND_TIMEOUT_SECONDS", "0.5"),
            ("WORKER__MAIL__CA_FILE", &ca),
        ];
        server.at(step, Do::Hang);
        let more = [&LOG_IN[..], &limits].concat();
        fails(&settings(&server, "starttls", &more), "no answer within 0.5 s");
        assert_eq!((server.reached(step), server.mails().len()), (1, 0), "{step:?}");
    }
    let hook = Receiver::of_posts(Encryption::None);
    hook.at(Step::Answer, Do::Hang);
    let url = format!("http://127.0.0.1:{}/", hook.port);
    let limit = ("WORKER__WEBHOOK__SEND_TIMEOUT_SECONDS", "0.2");
    fails(&[("WORKER__WEBHOOK__URL", url.as_str()), limit], "answer: no answer within 0.2 s");
}

#[tokio::test]
async fn a_server_that_accepts_no_connection_is_given_up() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Fills the queue of those who wait to be accepted, until one is not even let in.
    let mut waiting = Vec::new();
    let limit = std::time::Duration::from_millis(200);
    while let Ok(connected) =
        tokio::time::timeout(limit, tokio::net::TcpStream::connect(address)).await
    {
        waiting.push(connected.unwrap());
    }
    let port = address.port().to_string();
    let more = [
        ("WORKER__MAIL__PORT", port.as_str()),
        ("WORKER__MAIL__TLS", "none"),
        ("WORKER__MAIL__CONNECT_TIMEOUT_SECONDS", "0.3"),
    ];
    fails(&[&MAIL[..], &more].concat(), "connect: no answer within 0.3 s");
}

#[test]
fn nobody_there_is_told_at_once() {
    let nobody = [("WORKER__MAIL__PORT", "1"), ("WORKER__MAIL__TLS", "none")];
    fails(&[&MAIL[..], &nobody].concat(), "connect: Connection refused");
    let nowhere = [("WORKER__MAIL__HOST", "mail.invalid")];
    fails(&[&MAIL[..], &nowhere].concat(), "look-up of the name: ");
}

#[test]
fn who_is_refused_does_not_keep_the_others_from_getting_it() {
    let server = Receiver::of_mail(Encryption::None);
    server.does_not_know("gone@example.org");
    let to = ("WORKER__MAIL__TO", "gone@example.org, ops@example.org");
    let ran = ran(&settings(&server, "none", &[to]));
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_says(&ran.stdout, &["but not to all recipients: RCPT TO: 550 5.1.1 no such user"]);
    assert_eq!(server.mails()[0].to, ["<ops@example.org>"]);
}

#[test]
fn neither_password_nor_token_is_ever_shown() {
    let (server, _place, ca) = encrypted(false);
    let url = format!("http://127.0.0.1:1/{PASSWORD}");
    let more = [
        &LOG_IN[..],
        &[
            ("WORKER__MAIL__CA_FILE", ca.as_str()),
            ("WORKER__WEBHOOK__URL", &url),
            ("WORKER__LOG__LEVEL", "trace"),
        ],
    ];
    let settings = settings(&server, "starttls", &more.concat());
    for arguments in [&["alerts", "test"][..], &["check-config"]] {
        let mut command = Command::new(WORKER);
        let ran =
            Ran::of(command.args(arguments).env_clear().envs(settings.clone()).output().unwrap());
        for secret in [PASSWORD, LOG_IN_AS_SENT] {
            assert!(!format!("{ran:?}").contains(secret), "{ran:?}");
        }
    }
    assert!(server.said().contains(LOG_IN_AS_SENT));
}
