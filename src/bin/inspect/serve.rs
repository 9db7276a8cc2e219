//! `inspect serve`: runs in the browser, as they go.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process;

use anyhow::{Context, Result};
use clap::Args;
use rekindle::serve;
use rekindle::train::is_default;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Arguments of `inspect serve`.
#[derive(Args)]
#[command(after_help = "Examples:\n  inspect serve runs\n  inspect serve runs/digits --address 127.0.0.1:0\n\n\
                        From another machine: ssh -L 6006:localhost:6006 MACHINE, and open http://localhost:6006")]
pub struct Serve {
    /// Run directories, or folders with runs, which are found as they begin
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Where to listen; with an address that other machines reach, a token is needed, which is in the URL
    #[arg(long, value_name = "IP:PORT", default_value_t)]
    address: serve::Address,
    /// A further name of this machine that browsers may use; may be given again
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Ask for a token on this machine too, because others have accounts on it
    #[arg(long)]
    token: bool,
}

/// Serves the runs until a signal comes.
pub fn serve(serve: &Serve) -> Result<()> {
    end_at_a_signal().context("the server cannot be ended by signals")?;
    let (runs, hosts) = (serve.runs.clone(), serve.hosts.clone());
    let server = serve::Serve { runs, address: serve.address, hosts, with_token: serve.token }.listen()?;
    // Nobody may read it; the server is of use without.
    let mut out = io::stdout();
    drop(writeln!(out, "{}", server.url()).and_then(|()| out.flush()));
    let count = match server.runs() {
        0 => "no run yet, which appears as soon as it begins".to_owned(),
        1 => "1 run".to_owned(),
        runs => format!("{runs} runs"),
    };
    drop(writeln!(io::stderr(), "serving {count}; Ctrl-C ends it"));
    Ok(server.run()?)
}

/// Ends the process at once and as asked: nothing is written, so nothing is lost. A signal that is ignored stays so, as
/// for a server in the background of a script.
fn end_at_a_signal() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM].into_iter().filter(|signal| is_default(*signal)))?;
    let wait = move || {
        if signals.forever().next().is_some() {
            process::exit(0);
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
}
