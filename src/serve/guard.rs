//! Who may ask, and for what: every request passes here before it is answered.
//!
//! A page on the web can make a browser send requests to this machine. It cannot read the answers, because no answer
//! permits that, unless its own name is made to point at this machine (DNS rebinding): then the `Host` of the request is
//! that name, and the request is refused. Other machines need the token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::token::Token;

/// The rules for requests.
#[derive(Debug)]
pub struct Guard {
    /// Names of this machine that a `Host` may have. IP addresses need none: no name can be made to point elsewhere.
    pub hosts: Vec<String>,
    /// The token that a request needs.
    pub token: Option<Token>,
    /// Where the server listens: two of them on one machine have different cookies.
    pub port: u16,
}

/// Longest path with its parameters.
const LONGEST: usize = 4096;

/// The rights of a browser with an answer: nothing from elsewhere, and nothing elsewhere with it.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
];

/// Answers a request that keeps the rules, and says to others which one they break.
pub async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut answer = match guard.refusal(&request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        answer.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    answer
}

impl Guard {
    fn refusal(&self, request: &Request) -> Option<Response> {
        let uri = request.uri();
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let allowed = [(header::ALLOW, "GET, HEAD")];
            let text = "runs can only be looked at here: the methods are GET and HEAD\n";
            return Some((StatusCode::METHOD_NOT_ALLOWED, allowed, text).into_response());
        }
        if uri.to_string().len() > LONGEST {
            return Some((StatusCode::URI_TOO_LONG, "this address is too long\n").into_response());
        }
        if !self.knows(host(request.headers()), uri.host()) {
            let text = format!(
                "this server does not know itself by this name; open http://127.0.0.1:{}/, or start it with --host NAME\n",
                self.port
            );
            return Some((StatusCode::FORBIDDEN, text).into_response());
        }
        let token = self.token.as_ref()?;
        match parameter(uri, "token") {
            Some(guess) if token.is(guess) => Some(self.enter(uri, token)),
            Some(_) => Some(locked()),
            None => (!cookies(request.headers(), &self.cookie()).any(|guess| token.is(guess))).then(locked),
        }
    }

    /// Whether a request is meant for this server: by its `Host`, and by the target, if that has a host as well.
    fn knows(&self, host: Option<&str>, target: Option<&str>) -> bool {
        let is_known = |host: &str| {
            let name = without_port(host);
            let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
            is_address || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name.trim_end_matches('.')))
        };
        host.is_some_and(is_known) && target.is_none_or(is_known)
    }

    fn cookie(&self) -> String {
        format!("rekindle-{}", self.port)
    }

    /// Puts the token into a cookie, and takes it out of the address: that is seen on screens and kept in histories.
    fn enter(&self, uri: &Uri, token: &Token) -> Response {
        let kept: Vec<&str> = parameters(uri).filter(|pair| !pair.starts_with("token=")).collect();
        let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        // Two slashes at the beginning would be the name of another server.
        let place = format!("/{}{query}", uri.path().trim_start_matches(['/', '\\']));
        let cookie = format!("{}={}; HttpOnly; SameSite=Strict; Path=/", self.cookie(), token.text());
        (StatusCode::SEE_OTHER, [(header::LOCATION, place), (header::SET_COOKIE, cookie)]).into_response()
    }
}

fn locked() -> Response {
    let text = "this needs the token: open the whole address that `inspect serve` has printed, with ?token=…\n";
    (StatusCode::UNAUTHORIZED, text).into_response()
}

/// Returns the only `Host` of a request.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().filter(|_| hosts.next().is_none())?;
    host.to_str().ok()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

fn parameters(uri: &Uri) -> impl Iterator<Item = &str> {
    uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty())
}

fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    parameters(uri).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    all.flat_map(|cookies| cookies.split(';')).filter_map(move |pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(token: Option<Token>) -> Guard {
        Guard { hosts: vec!["localhost".to_owned(), "gpu-3".to_owned()], token, port: 6006 }
    }

    #[test]
    fn a_host_is_an_address_or_a_known_name() {
        let knows = |host| guard(None).knows(Some(host), None);
        for host in ["localhost", "LOCALHOST:6006", "127.0.0.1", "127.0.0.1:1", "[::1]:6006", "gpu-3:80", "gpu-3.:80"] {
            assert!(knows(host), "{host}");
        }
        for host in ["", "evil.example", "evil.example:6006", "localhost.evil.example", "127.0.0.1.evil.example", ":"] {
            assert!(!knows(host), "{host}");
        }
        assert!(!guard(None).knows(None, None));
        assert!(!guard(None).knows(Some("localhost"), Some("evil.example")));
    }

    #[test]
    fn the_token_leaves_the_address_and_never_leads_elsewhere() {
        let token = Token::draw().unwrap();
        let guard = guard(Some(token.clone()));
        let place = |uri: &str| {
            let answer = guard.enter(&uri.parse().unwrap(), &token);
            answer.headers()[header::LOCATION].to_str().unwrap().to_owned()
        };
        assert_eq!(place("/?token=1"), "/");
        assert_eq!(place("/view?run=a&token=1&run=b"), "/view?run=a&run=b");
        assert_eq!(place("//evil.example/?token=1"), "/evil.example/");
    }
}
