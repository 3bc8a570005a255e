//! Who may see and do what: tokens, sessions, and where requests may come from.
//!
//! Without a token the page is read-only, shows no health value and is served to this host alone. With one it
//! asks for it. A session is kept in memory only, so it ends with the worker.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, Uri, header};
use rustls::crypto::SecureRandom;
use subtle::ConstantTimeEq;

use crate::config::Http;
use crate::service::Peer;

/// A session ends after so long without a request.
const IDLE: Duration = Duration::from_secs(3_600);

/// And after so long in any case.
const LONGEST: Duration = Duration::from_secs(12 * 3_600);

/// Sessions that are kept. One more ends the one that was used least recently.
const MAX_SESSIONS: usize = 64;

/// After a wrong token, no other one is looked at for so long: at most two guesses a second.
pub const WRONG_TOKEN_PAUSE: Duration = Duration::from_millis(500);

/// The cookie of a session.
const COOKIE: &str = "dayfold-session";

/// The rights of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees the state of the work, unless there is a token.
    Anonymous,
    /// Sees users' days, too.
    Viewer,
    /// Changes things, too.
    Operator,
}

impl Role {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Their rights.
    pub role: Role,
    /// The token of their forms; none without a session.
    pub csrf: Option<String>,
    /// The role and the address, for the log.
    pub actor: String,
}

/// The tokens and the sessions.
#[derive(Debug)]
pub struct Access {
    viewer: String,
    operator: String,
    is_loopback: bool,
    sessions: Mutex<HashMap<String, Session>>,
    /// Held while a token is looked at.
    pub guessing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Session {
    role: Role,
    csrf: String,
    began: Instant,
    used: Instant,
}

impl Access {
    /// As the configuration has it.
    pub fn new(http: &Http) -> Self {
        Self {
            viewer: http.token.expose().to_owned(),
            operator: http.operator_token.expose().to_owned(),
            is_loopback: http.port == 0 || http.address.is_loopback(),
            sessions: Mutex::default(),
            guessing: tokio::sync::Mutex::new(()),
        }
    }

    /// Whether there is any token.
    pub fn has_token(&self) -> bool {
        !(self.viewer.is_empty() && self.operator.is_empty())
    }

    /// Whether there is a token of operators.
    pub fn has_operator(&self) -> bool {
        !self.operator.is_empty()
    }

    /// Whether the page may be served at all: other hosts could read it without a token.
    pub fn is_served(&self) -> bool {
        self.is_loopback || self.has_token()
    }

    /// The role that a token gives. Both tokens are compared in full, so that the time tells nothing.
    pub fn role_of(&self, token: &str) -> Option<Role> {
        let is =
            |known: &str| !known.is_empty() && bool::from(known.as_bytes().ct_eq(token.as_bytes()));
        let (is_operator, is_viewer) = (is(&self.operator), is(&self.viewer));
        if is_operator { Some(Role::Operator) } else { is_viewer.then_some(Role::Viewer) }
    }

    /// Begins a session. Returns the value of `Set-Cookie`; none if the operating system has no random numbers.
    pub fn begin(&self, role: Role) -> Option<String> {
        let (id, csrf) = (random()?, random()?);
        let now = Instant::now();
        let mut sessions = self.sessions();
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used);
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                sessions.remove(&id);
            }
        }
        let cookie = cookie(&id, LONGEST);
        sessions.insert(id, Session { role, csrf, began: now, used: now });
        Some(cookie)
    }

    /// Ends the session of a request. Returns the value of `Set-Cookie`.
    pub fn end(&self, headers: &HeaderMap) -> String {
        if let Some(id) = session_id(headers) {
            self.sessions().remove(id);
        }
        cookie("", Duration::ZERO)
    }

    /// Who sent a request.
    pub fn visitor(&self, headers: &HeaderMap, peer: Option<Peer>) -> Visitor {
        let (role, csrf) = self.role_of_request(headers);
        let from = peer.map_or_else(|| "unknown".to_owned(), |Peer(address)| address.to_string());
        Visitor { role, csrf, actor: format!("{} from {from}", role.name()) }
    }

    fn role_of_request(&self, headers: &HeaderMap) -> (Role, Option<String>) {
        if let Some(token) = bearer(headers) {
            return (self.role_of(token).unwrap_or(Role::Anonymous), None);
        }
        let now = Instant::now();
        let mut sessions = self.sessions();
        sessions.retain(|_, session| {
            now.duration_since(session.used) < IDLE && now.duration_since(session.began) < LONGEST
        });
        match session_id(headers).and_then(|id| sessions.get_mut(id)) {
            Some(session) => {
                session.used = now;
                (session.role, Some(session.csrf.clone()))
            }
            None => (Role::Anonymous, None),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visitor {
    /// Whether a form carries the token of this visitor's session.
    pub fn sent(&self, csrf: Option<&str>) -> bool {
        match (&self.csrf, csrf) {
            (Some(known), Some(sent)) => bool::from(known.as_bytes().ct_eq(sent.as_bytes())),
            _ => false,
        }
    }
}

/// Whether a form was sent by a page of ours: a browser says where it comes from in one header or the other.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return false;
    }
    match (text("origin"), text("host")) {
        (Some(origin), Some(host)) => origin
            .parse::<Uri>()
            .ok()
            .and_then(|origin| origin.authority().map(|of| of.as_str().eq_ignore_ascii_case(host)))
            .unwrap_or(false),
        (Some(_), None) => false,
        (None, _) => true,
    }
}

/// Where to go after a sign-in: a path of ours, or the beginning.
pub fn safe_path(path: &str) -> &str {
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let is_ours = path.starts_with('/') && !path.starts_with("//") && is_plain(path);
    if is_ours { path } else { "/" }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn session_id(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = cookies.flat_map(|value| value.split(';'));
    cookies.find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn cookie(id: &str, age: Duration) -> String {
    format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}", age.as_secs())
}

/// 256 bits by chance, as hexadecimal digits.
fn random() -> Option<String> {
    let mut bytes = [0_u8; 32];
    let source: &dyn SecureRandom = rustls::crypto::ring::default_provider().secure_random;
    source.fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const VIEWER: &str = "viewer-token-0123456789";
    const OPERATOR: &str = "operator-token-0123456789";

    fn access() -> Access {
        let variables =
            [("WORKER__HTTP__TOKEN", VIEWER), ("WORKER__HTTP__OPERATOR_TOKEN", OPERATOR)];
        Access::new(&crate::config::Config::load(None, variables, None).unwrap().config.http)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn each_token_gives_its_role_and_no_other_text_gives_one() {
        let access = access();
        assert_eq!(access.role_of(VIEWER), Some(Role::Viewer));
        assert_eq!(access.role_of(OPERATOR), Some(Role::Operator));
        for wrong in ["", "viewer", "viewer-token-012345678", "viewer-token-01234567890"] {
            assert_eq!(access.role_of(wrong), None, "{wrong}");
        }
        let bearer = headers(&[("authorization", &format!("Bearer {VIEWER}"))]);
        assert_eq!(access.visitor(&bearer, None).role, Role::Viewer);
    }

    #[test]
    fn without_a_token_no_text_gives_a_role() {
        let access = Access::new(
            &crate::config::Config::load(None, [("A", "b")], None).unwrap().config.http,
        );
        assert_eq!(access.role_of(""), None);
        let empty = headers(&[("authorization", "Bearer ")]);
        assert_eq!(access.visitor(&empty, None).role, Role::Anonymous);
    }

    #[test]
    fn a_session_has_its_role_until_it_ends() {
        let access = access();
        let set = access.begin(Role::Operator).unwrap();
        assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
        let cookie = set.split(';').next().unwrap();
        let sent = headers(&[("cookie", &format!("other=1; {cookie}"))]);
        let visitor = access.visitor(&sent, Some(Peer(IpAddr::from([127, 0, 0, 1]))));
        assert_eq!((visitor.role, &*visitor.actor), (Role::Operator, "operator from 127.0.0.1"));
        assert!(visitor.sent(visitor.csrf.as_deref()));
        assert!(!visitor.sent(Some("")) && !visitor.sent(None));
        access.end(&sent);
        assert_eq!(access.visitor(&sent, None).role, Role::Anonymous);
    }

    #[test]
    fn sessions_are_bounded() {
        let access = access();
        for _ in 0..MAX_SESSIONS + 10 {
            access.begin(Role::Viewer).unwrap();
        }
        assert_eq!(access.sessions().len(), MAX_SESSIONS);
    }

    #[test]
    fn a_form_of_another_site_is_told_from_one_of_ours() {
        let host = ("host", "localhost:9187");
        assert!(is_same_origin(&headers(&[host])));
        assert!(is_same_origin(&headers(&[host, ("origin", "http://localhost:9187")])));
        for origin in ["null", "http://evil.example", "http://localhost:1", "", "http://"] {
            assert!(!is_same_origin(&headers(&[host, ("origin", origin)])), "{origin}");
        }
        for site in ["cross-site", "same-site", "none"] {
            assert!(!is_same_origin(&headers(&[host, ("sec-fetch-site", site)])), "{site}");
        }
    }

    #[test]
    fn a_sign_in_leads_to_a_path_of_ours_only() {
        assert_eq!(safe_path("/failures?kind=labs"), "/failures?kind=labs");
        for foreign in ["//evil.example", "http://evil.example", "/\\evil.example", "", "/a b"] {
            assert_eq!(safe_path(foreign), "/", "{foreign}");
        }
    }
}
