//! The URL of a webhook.

use std::fmt;

use hyper::Uri;

/// A URL to post to. It may contain a token, so its printed form is only host and port.
#[derive(Clone, PartialEq, Eq)]
pub struct PostUrl(Uri);

impl PostUrl {
    /// The requirements, as the end of a sentence.
    pub const EXPECTED: &str =
        "be http://HOST/PATH or https://HOST/PATH, without a user or password";

    /// Accepts a URL with a host and without a user; a port must be a valid one.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.trim().parse().ok()?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority()?;
        let plain = !authority.as_str().contains('@') && !authority.host().is_empty();
        // An invalid port would be ignored, and another server would get the message.
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let there_is = |port: &str| {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            digits && port.parse::<u16>().is_ok_and(|port| port > 0)
        };
        let reachable = port.is_empty() || port.strip_prefix(':').is_some_and(there_is);
        (known && plain && reachable).then_some(Self(uri))
    }

    /// Whether the scheme is https.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        self.0.path_and_query().map_or("/", |path| path.as_str())
    }

    /// Host and port as the URL has them.
    pub fn authority(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }

    /// The host without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port of the URL, or that of its scheme.
    pub fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_encrypted() { 443 } else { 80 })
    }
}

impl fmt::Display for PostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host(), self.port())
    }
}

impl fmt::Debug for PostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}/***")
    }
}

#[cfg(test)]
mod tests {
    use super::PostUrl;

    #[test]
    fn a_url_prints_as_its_host_and_port() {
        for (text, shown) in [
            ("https://hooks.example.org/services/T0/hunter2geheim", "hooks.example.org:443"),
            ("http://127.0.0.1:8080/a?token=hunter2geheim", "127.0.0.1:8080"),
            ("http://[::1]/hunter2geheim", "::1:80"),
        ] {
            let url = PostUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("hunter2geheim"), "{url:?}");
        }
    }

    #[test]
    fn a_port_that_there_is_not_is_refused() {
        for port in ["", "0", "00", "65536", "99999999999", "+80"] {
            for host in ["hooks.example.org", "[::1]"] {
                let text = format!("https://{host}:{port}/a");
                assert_eq!(PostUrl::parse(&text), None, "{text}");
            }
        }
        for (text, shown) in [("http://a:65535/", "a:65535"), ("http://[::1]:1/", "::1:1")] {
            assert_eq!(PostUrl::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_url_of_a_web_server_is_refused() {
        for text in
            ["", "hooks.example.org", "ftp://a/b", "https://user:pass@a/b", "/a", "https://"]
        {
            assert_eq!(PostUrl::parse(text), None, "{text}");
        }
    }
}
