//! The server: its routes, its start and its thread.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use axum::routing::get;
use axum::{Router, middleware};
use tokio::runtime::{Builder, Runtime};

use super::address::Address;
use super::answers::{self, App};
use super::connections;
use super::error::ServeError;
use super::guard::{self, Guard};
use super::hub::Hub;
use super::predictions::Predictor;
use super::rows::Rows;
use super::runs::Catalogue;
use super::token::Token;

/// Threads that read files. The answers themselves are made on one.
const READERS: usize = 4;

/// Requests about runs.
#[derive(Clone, Debug, Default)]
pub struct Serve {
    /// The runs, each a run directory or a folder with runs.
    pub runs: Vec<PathBuf>,
    /// Where to listen.
    pub address: Address,
    /// Further names by which browsers know this machine.
    pub hosts: Vec<String>,
    /// Whether a token is needed. It always is if other machines reach the address.
    pub with_token: bool,
}

/// A server that listens, and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    runtime: Runtime,
    app: Arc<App>,
    guard: Arc<Guard>,
    at: SocketAddr,
}

impl Serve {
    /// Opens the address.
    ///
    /// # Errors
    /// A path is not a directory on this machine, or the address cannot be opened.
    pub fn listen(&self) -> Result<Server, ServeError> {
        let catalogue = Arc::new(Catalogue::of(&self.runs)?);
        let not_started = |source| ServeError::NotStarted { source };
        let needs_token = self.needs_token();
        let token = needs_token.then(Token::draw).transpose().map_err(not_started)?;
        let listener = self.address.listen()?;
        let at = listener.local_addr().map_err(not_started)?;
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(READERS).build().map_err(not_started)?;
        let own = needs_token.then(crate::host::name).flatten();
        let hosts = self.hosts.iter().cloned().chain(own).chain(["localhost".to_owned()]).collect();
        let guard = Arc::new(Guard { hosts, token, port: at.port() });
        let rows = Rows::of(Arc::clone(&catalogue));
        let hub = Arc::new(Hub::of(Arc::clone(&catalogue)));
        let predictor = Predictor::start().map_err(not_started)?;
        let app = Arc::new(App { catalogue, rows, hub, predictor });
        Ok(Server { listener, runtime, app, guard, at })
    }

    fn needs_token(&self) -> bool {
        self.with_token || !self.address.is_loopback()
    }
}

impl Server {
    /// Returns the address that a browser opens, with the token if one is needed.
    pub fn url(&self) -> String {
        // An address that stands for all is opened here through the one of this machine.
        let host = match self.at.ip() {
            ip if ip.is_unspecified() && ip.is_ipv4() => "127.0.0.1".to_owned(),
            ip if ip.is_unspecified() => "[::1]".to_owned(),
            ip if ip.is_ipv6() => format!("[{ip}]"),
            ip => ip.to_string(),
        };
        let token = self.guard.token.as_ref().map(|token| format!("?token={}", token.text()));
        format!("http://{host}:{}/{}", self.at.port(), token.unwrap_or_default())
    }

    /// Returns the number of runs that are there now.
    pub fn runs(&self) -> usize {
        self.app.catalogue.runs().runs.len()
    }

    /// Answers until the process ends.
    ///
    /// # Errors
    /// The system refuses to wait for connections.
    pub fn run(self) -> Result<(), ServeError> {
        let Self { listener, runtime, app, guard, .. } = self;
        let router = router(app, guard);
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener);
            let listener = listener.map_err(|source| ServeError::NotStarted { source })?;
            connections::answer(listener, router).await;
            Ok(())
        })
    }
}

fn router(app: Arc<App>, guard: Arc<Guard>) -> Router {
    Router::new()
        .route("/", get(answers::list))
        .route("/runs.json", get(answers::rows))
        .route("/view", get(answers::view))
        .route("/rest.json", get(answers::rest))
        .route("/predictions.json", get(answers::predictions))
        .route("/events", get(answers::events))
        .route("/assets/list.js", get(answers::list_script))
        .route("/assets/list.css", get(answers::list_style))
        .fallback(answers::nothing)
        .with_state(app)
        .layer(middleware::from_fn_with_state(guard, guard::check))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_other_machines_reach_always_needs_a_token() {
        let needs_token = |address: &str, with_token| {
            let address = address.parse().unwrap();
            Serve { address, with_token, ..Serve::default() }.needs_token()
        };
        assert!(!needs_token("127.0.0.1:0", false) && !needs_token("[::1]:0", false));
        assert!(needs_token("127.0.0.1:0", true));
        for address in ["0.0.0.0:0", "[::]:0", "192.168.0.1:0", "10.0.0.1:6006"] {
            assert!(needs_token(address, false), "{address}");
        }
    }
}
