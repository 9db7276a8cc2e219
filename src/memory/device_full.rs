//! The memory of a GPU is used up.

use thiserror::Error;

use super::{Need, Size, Table, total};

/// The memory of a GPU is used up.
#[derive(Debug, Error)]
#[error(
    "device `{device}` has no memory left{}; the run needs at least {} there{}{}{}",
    answered(*.free_of), Size(total(needs)), largest(.tensors), Table { needs, remedies }, others(*.free_of, total(needs))
)]
pub struct DeviceFull {
    /// The device.
    pub device: String,
    /// The free bytes of its memory after the failure, and all of them, if they are known.
    pub free_of: Option<(u64, u64)>,
    /// The memory that the run keeps there. All sizes are lower bounds.
    pub needs: Vec<Need>,
    /// The largest weights: name, shape and bytes.
    pub tensors: Vec<(String, Vec<usize>, u64)>,
    /// Remedies, the most effective first.
    pub remedies: Vec<String>,
}

fn answered(free_of: Option<(u64, u64)>) -> String {
    free_of.map(|(free, all)| format!(": {} of {} are free", Size(free), Size(all))).unwrap_or_default()
}

fn largest(tensors: &[(String, Vec<usize>, u64)]) -> String {
    let each = tensors.iter().map(|(name, shape, bytes)| format!("`{name}` {shape:?} of {}", Size(*bytes)));
    let all = each.collect::<Vec<_>>().join(", ");
    if all.is_empty() { all } else { format!("; its largest weights are {all}") }
}

/// If the run alone does not fill the memory, others may.
fn others(free_of: Option<(u64, u64)>, needed: u64) -> &'static str {
    match free_of {
        Some((_, all)) if needed < all / 2 => "\nother programs may use the memory too: `nvidia-smi` lists them",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_device_is_reported_with_what_is_there_and_what_helps() {
        let full = |free_of| DeviceFull {
            device: "cuda:1".to_owned(),
            free_of,
            needs: vec![Need::new("weights", 4_000_000_000, ""), Need::new("activations", 70_000_000_000, "of 8 rows")],
            tensors: vec![("embedding".to_owned(), vec![50257, 768], 154_000_000), ("b".to_owned(), vec![7], 28)],
            remedies: vec!["micro-batches, `train.accumulate = 2` or more".to_owned()],
        };
        let expected = "\
device `cuda:1` has no memory left: 1.0 GB of 80 GB are free; the run needs at least 74 GB there; its largest weights are \
`embedding` [50257, 768] of 154 MB, `b` [7] of 28 B
  weights      4.0 GB
  activations   70 GB  of 8 rows
to need less: micro-batches, `train.accumulate = 2` or more";
        assert_eq!(full(Some((1_000_000_000, 80_000_000_000))).to_string(), expected);
        let shared = full(Some((1_000_000_000, 160_000_000_000))).to_string();
        assert!(shared.ends_with("\nother programs may use the memory too: `nvidia-smi` lists them"), "{shared}");
        let unknown = full(None).to_string();
        assert!(unknown.starts_with("device `cuda:1` has no memory left; the run needs at least 74 GB there"));
    }
}
