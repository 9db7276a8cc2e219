//! Which process has which GPU: NCCL connects one process to each.

use serde::{Deserialize, Serialize};

/// The GPU of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seat {
    /// The name of its host.
    pub host: String,
    /// The identity of the GPU, which no other GPU has.
    pub gpu: String,
}

/// Refuses two processes with one GPU; `seats` are those of all, in their order.
pub(super) fn refuse_shared(seats: &[Seat]) -> Result<(), String> {
    let mut all = seats.iter().enumerate();
    let shared = all.find_map(|(second, seat)| {
        let first = seats.iter().take(second).position(|other| other.gpu == seat.gpu)?;
        Some((first, second, seat))
    });
    let Some((first, second, Seat { host, gpu })) = shared else { return Ok(()) };
    Err(format!(
        "processes {first} and {second} (counted from 0) have the same GPU, {gpu} of host {host}, and NCCL connects one \
         process to each; start at most as many on a host as it has GPUs, with device = \"cuda\", or let the gradients \
         go through the hosts with distributed.exchange = \"host\""
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(gpus: &[&str]) -> Vec<Seat> {
        gpus.iter().map(|gpu| Seat { host: "a".to_owned(), gpu: (*gpu).to_owned() }).collect()
    }

    #[test]
    fn two_processes_on_one_gpu_are_refused_and_named() {
        assert_eq!(refuse_shared(&seats(&["x", "y", "z"])), Ok(()));
        let told = refuse_shared(&seats(&["x", "y", "x"])).unwrap_err();
        assert!(told.starts_with("processes 0 and 2 (counted from 0) have the same GPU, x of host a, "), "{told}");
        assert!(told.ends_with("distributed.exchange = \"host\""), "{told}");
    }
}
