//! A browser for tests: Chromium without a window, which chromedriver moves on behalf of a test, over loopback.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A window of a browser.
pub struct Browser {
    driver: Child,
    /// Address of the session.
    session: String,
    agent: ureq::Agent,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Opens a window of this size; `None`, said loudly, on a machine without Chromium and chromedriver.
    pub fn start(width: u32, height: u32) -> Option<Self> {
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = match driver {
            Ok(driver) => driver,
            Err(error) => {
                eprintln!("SKIPPED: no chromedriver (Debian: chromium chromium-driver): {error}");
                return None;
            }
        };
        let lines = BufReader::new(driver.stdout.take()?).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok()
        });
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .build()
            .new_agent();
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self { driver, session: String::new(), agent, _profile: profile };
        let sessions = format!("http://127.0.0.1:{}/session", port.expect("chromedriver tells its port"));
        let arguments = [
            "--headless=new".to_owned(),
            // Chromium refuses to run as root in a sandbox.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let begun = browser.post(&sessions, &wanted);
        browser.session = format!("{sessions}/{}", begun["sessionId"].as_str().expect("a session"));
        Some(browser)
    }

    fn post(&self, address: &str, body: &Value) -> Value {
        let mut answer = self.agent.post(address).send_json(body).unwrap();
        let mut answer: Value = answer.body_mut().read_json().unwrap();
        assert!(answer["value"]["error"].is_null(), "{address}: {answer}");
        answer["value"].take()
    }

    fn ask(&self, command: &str, body: &Value) -> Value {
        self.post(&format!("{}/{command}", self.session), body)
    }

    /// Opens a file.
    pub fn open(&self, file: &Path) {
        self.visit(&format!("file://{}", file.display()));
    }

    /// Opens an address.
    pub fn visit(&self, url: &str) {
        self.ask("url", &json!({"url": url}));
    }

    /// Gives the page another size. Unlike a window, it can be as narrow as that of a telephone.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": size});
        self.ask("goog/cdp/execute", &command);
    }

    /// Runs the body of a function until its result is `wanted`.
    #[track_caller]
    pub fn wait_for(&self, script: &str, wanted: impl Into<Value>) {
        let (began, wanted) = (Instant::now(), wanted.into());
        loop {
            let found = self.run(script);
            if found == wanted {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{script}: {found}, not {wanted}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs the body of a function in the page, and returns its result.
    pub fn run(&self, script: &str) -> Value {
        self.ask("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Runs the body of a function, whose last argument is called with the result.
    pub fn run_until_told(&self, script: &str) -> Value {
        self.ask("execute/async", &json!({"script": script, "args": []}))
    }

    /// Moves the mouse along these points of the window, with the button held down between the first and the last if it
    /// drags.
    pub fn point(&self, places: &[(f64, f64)], drags: bool) {
        let to = |&(x, y): &(f64, f64)| json!({"type": "pointerMove", "x": x.round(), "y": y.round(), "duration": 30});
        let mut actions: Vec<Value> = places.iter().map(to).collect();
        if drags {
            actions.insert(1, json!({"type": "pointerDown", "button": 0}));
            actions.push(json!({"type": "pointerUp", "button": 0}));
        }
        let mouse = json!({"type": "pointer", "id": "mouse", "actions": actions});
        self.ask("actions", &json!({"actions": [mouse]}));
    }

    /// Presses keys one after the other.
    pub fn press(&self, keys: &[&str]) {
        let press = |key: &&str| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})];
        let actions: Vec<Value> = keys.iter().flat_map(press).collect();
        self.ask("actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}));
    }

    /// Returns what the console has been told since the last time.
    pub fn console(&self) -> Vec<Value> {
        self.ask("se/log", &json!({"type": "browser"})).as_array().cloned().unwrap_or_default()
    }

    /// Returns the addresses that pages have asked for since the last time, their own included.
    pub fn requests(&self) -> Vec<String> {
        let log = self.ask("se/log", &json!({"type": "performance"}));
        let address = |entry: &Value| {
            let event: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let is_request = event["message"]["method"] == "Network.requestWillBeSent";
            let url = event["message"]["params"]["request"]["url"].as_str()?;
            is_request.then(|| url.to_owned())
        };
        log.as_array().into_iter().flatten().filter_map(address).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The session ends the browser, and the driver would leave it behind.
        drop(self.agent.delete(&self.session).call());
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
