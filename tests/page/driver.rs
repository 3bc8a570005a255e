//! A real browser: Debian's Chromium by its driver, which speaks WebDriver (W3C).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::service::http::free_port;
use crate::support::outside::eventually as so;

/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A window of a browser. Dropped, browser and driver end.
pub struct Browser {
    driver: Child,
    port: String,
    session: String,
    profile: std::path::PathBuf,
}

/// A browser, or none where Chromium or its driver is missing: then the test says that it was not run.
pub fn browser(test: &str) -> Option<Browser> {
    let is_there = |program: &str| {
        let mut asked = Command::new(program);
        asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    };
    if !is_there("chromedriver") || !is_there("chromium") {
        eprintln!(
            "{test} was NOT RUN: chromium or chromedriver is missing (Debian: chromium, chromium-driver)"
        );
        return None;
    }
    Some(Browser::start())
}

impl Browser {
    fn start() -> Self {
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let profile = std::env::temp_dir().join(format!("dayfold-chromium-{port}"));
        let mut browser = Self { driver, port, session: String::new(), profile };
        so("the driver listens", || {
            TcpStream::connect(format!("127.0.0.1:{}", browser.port)).is_ok()
        });
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            "--window-size=1280,900",
            &format!("--user-data-dir={}", browser.profile.display()),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let answer = browser.call("POST", "/session", Some(&capabilities));
        browser.session =
            answer["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        browser
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.try_call(method, path, body);
        assert!(answer["value"]["error"].is_null(), "{method} {path}: {answer}");
        answer["value"].clone()
    }

    fn try_call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map_or_else(String::new, Value::to_string);
        let mut stream = TcpStream::connect(format!("127.0.0.1:{}", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        // The driver leaves the connection open, so that the length tells where the answer ends.
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body)
            .unwrap_or_else(|e| panic!("{e}: {path}: {}", String::from_utf8_lossy(&body)))
    }

    fn path(&self, of: &str) -> String {
        format!("/session/{}{of}", self.session)
    }

    pub fn open(&self, url: &str) {
        self.call("POST", &self.path("/url"), Some(&json!({ "url": url })));
    }

    /// Runs a script of the test, which the page's policy does not concern.
    pub fn script(&self, script: &str) -> Value {
        self.call(
            "POST",
            &self.path("/execute/sync"),
            Some(&json!({ "script": script, "args": [] })),
        )
    }

    fn find(&self, using: &str, value: &str) -> Option<String> {
        let asked = json!({ "using": using, "value": value });
        let answer = self.try_call("POST", &self.path("/element"), Some(&asked));
        answer["value"][ELEMENT].as_str().map(str::to_owned)
    }

    fn element(&self, using: &str, value: &str) -> String {
        let mut found = None;
        so(&format!("there is {value}"), || {
            found = self.find(using, value);
            found.is_some()
        });
        found.unwrap()
    }

    /// Clicks what a CSS selector finds.
    pub fn click(&self, selector: &str) {
        self.click_element("css selector", selector);
    }

    /// Clicks the link with this text.
    pub fn follow(&self, text: &str) {
        self.click_element("link text", text);
    }

    /// Clicks the button with this text.
    pub fn press(&self, text: &str) {
        self.click_element("xpath", &format!("//button[normalize-space()={text:?}]"));
    }

    fn click_element(&self, using: &str, value: &str) {
        so(&format!("{value} can be clicked"), || {
            // The live part may be changed between the search and the click.
            let Some(element) = self.find(using, value) else { return false };
            let path = self.path(&format!("/element/{element}/click"));
            self.try_call("POST", &path, Some(&json!({})))["value"]["error"].is_null()
        });
    }

    /// Types into what a CSS selector finds.
    pub fn fill(&self, selector: &str, text: &str) {
        let element = self.element("css selector", selector);
        let path = self.path(&format!("/element/{element}/value"));
        self.call("POST", &path, Some(&json!({ "text": text })));
    }

    /// The visible text of the page.
    pub fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page says all of these.
    pub fn says(&self, texts: &[&str]) {
        for text in texts {
            so(&format!("the page says {text:?}"), || self.text().contains(text));
        }
    }

    pub fn resize(&self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.cdp("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Light or dark, or print.
    pub fn media(&self, media: &str, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.cdp("Emulation.setEmulatedMedia", &json!({ "media": media, "features": features }));
    }

    /// The zone of the reader's clock.
    pub fn time_zone(&self, zone: &str) {
        self.cdp("Emulation.setTimezoneOverride", &json!({ "timezoneId": zone }));
    }

    pub fn without_script(&self, without: bool) {
        self.cdp("Emulation.setScriptExecutionDisabled", &json!({ "value": without }));
    }

    fn cdp(&self, command: &str, parameters: &Value) {
        let call = json!({ "cmd": command, "params": parameters });
        self.call("POST", &self.path("/goog/cdp/execute"), Some(&call));
    }

    /// Presses a key, such as Tab.
    pub fn key(&self, key: &str) {
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": [
            { "type": "keyDown", "value": key }, { "type": "keyUp", "value": key },
        ] }] });
        self.call("POST", &self.path("/actions"), Some(&actions));
    }

    /// The browser's complaints, such as violations of the content security policy.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.call("POST", &self.path("/se/log"), Some(&json!({ "type": "browser" })));
        let entries = log.as_array().cloned().unwrap_or_default();
        let message = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_owned();
        entries.iter().filter(|entry| entry["level"] == "SEVERE").map(message).collect()
    }

    /// A picture of the whole page.
    pub fn picture(&self, file: &Path) {
        let height =
            self.script("return document.documentElement.scrollHeight").as_u64().unwrap_or(900);
        let width = self.script("return window.innerWidth").as_u64().unwrap_or(1280);
        self.resize(width as u32, height.clamp(400, 3_000) as u32);
        let taken = self.call("GET", &self.path("/screenshot"), None);
        std::fs::write(file, decode(taken.as_str().unwrap())).unwrap();
        self.resize(width as u32, 900);
    }
}

/// The bytes of a text in base 64.
fn decode(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u32> = text
        .bytes()
        .filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte))
        .map(|digit| digit as u32)
        .collect();
    let group = |group: &[u32]| {
        let bits = group.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - group.len()));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let page = json!({ "script": "return location.href + '\\n' + document.body.innerText", "args": [] });
            let shown = self.try_call("POST", &self.path("/execute/sync"), Some(&page));
            eprintln!("the browser shows {}", shown["value"].as_str().unwrap_or("nothing"));
        }
        // Also after a panic: a browser whose driver is killed goes on.
        if let Ok(mut stream) = TcpStream::connect(format!("127.0.0.1:{}", self.port)) {
            let path = self.path("");
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = write!(stream, "DELETE {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let _ = stream.read_exact(&mut [0; 1]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
