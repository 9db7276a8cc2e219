//! Checks whether a request fits in memory, before the memory is allocated.
//!
//! Linux overcommits memory and kills a process, or its neighbours, once it is used up; a failing allocation is rare.
//! So the sizes of large objects are added up first and compared with the available memory. All sizes are lower bounds:
//! a refused request certainly does not fit, and an accepted one may still be too large. If the system does not report
//! the available memory, nothing is refused.

mod address_space;
mod available;
mod device_full;
mod moment;
mod oom_kills;
mod size;

use crate::aligned::aligned;
use std::cell::Cell;
use std::fmt;

use serde::Serialize;
use thiserror::Error;

pub use self::address_space::address_space_limit;
pub use self::available::Available;
pub(crate) use self::available::resident;
pub use self::device_full::DeviceFull;
pub(crate) use self::moment::Computing;
#[cfg(feature = "trainer")]
pub(crate) use self::moment::begin_run;
pub use self::moment::{write_moment, write_remedies};
pub use self::oom_kills::{OomKilled, OomKills};
pub use self::size::Size;
pub(crate) use self::size::grouped;

thread_local!(static FAILURE_IS_EXPECTED: Cell<bool> = const { Cell::new(false) });

/// Calls `request`, which allocates memory and can continue if that fails.
pub(crate) fn expect_failure<R>(request: impl FnOnce() -> R) -> R {
    /// Restored even if `request` panics.
    struct Restore(bool);

    impl Drop for Restore {
        fn drop(&mut self) {
            FAILURE_IS_EXPECTED.set(self.0);
        }
    }

    let _before = Restore(FAILURE_IS_EXPECTED.replace(true));
    request()
}

/// Whether the current request for memory on this thread can continue without it. If this is false, an allocator
/// without memory may end the program.
pub fn failure_is_expected() -> bool {
    FAILURE_IS_EXPECTED.try_with(Cell::get).unwrap_or(false)
}

/// An object that takes memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    /// Its name.
    pub what: String,
    /// A lower bound of its size in bytes.
    pub bytes: u64,
    /// Explanation of the size; may be empty.
    pub detail: String,
}

impl Need {
    /// Creates a need of `bytes`.
    pub fn new(what: impl Into<String>, bytes: u64, detail: impl Into<String>) -> Self {
        Self { what: what.into(), bytes, detail: detail.into() }
    }
}

/// The request does not fit in memory. Nothing was allocated for it.
#[derive(Debug, Error)]
#[error(
    "{what} needs {} {} of memory, and {available}{}",
    how(*is_estimate), Size(total(needs)), Table { needs, remedies }
)]
pub struct TooLarge {
    /// The request.
    pub what: String,
    /// The objects in it.
    pub needs: Vec<Need>,
    /// The memory that is available.
    pub available: Available,
    /// Remedies, the most effective first.
    pub remedies: Vec<String>,
    /// Whether the last object's size is an upper bound; all others are lower bounds.
    pub is_estimate: bool,
}

fn how(is_estimate: bool) -> &'static str {
    if is_estimate { "about" } else { "at least" }
}

/// Refuses `needs` like [`require`]. If a process that requests too much ends at once, also refuses needs that are too
/// large together with the estimated temporary memory `beside` them.
///
/// # Errors
/// As [`require`].
pub fn require_with(
    what: &str,
    mut needs: Vec<Need>,
    beside: Need,
    held: u64,
    remedies: Vec<String>,
) -> Result<(), Box<TooLarge>> {
    let Some(available) = Available::now().map(|available| available.and(held)) else { return Ok(()) };
    let is_estimate = available.is_of_requests && total(&needs) <= available.bytes;
    if is_estimate {
        needs.push(beside);
    }
    if total(&needs) <= available.bytes {
        return Ok(());
    }
    Err(Box::new(TooLarge { is_estimate, ..*TooLarge::new(what, needs, available, remedies) }))
}

/// Refuses `needs` that exceed the memory available now plus the `held` bytes that will be freed.
///
/// # Errors
/// They do; the error has all sizes and remedies.
pub fn require(what: &str, needs: Vec<Need>, held: u64, remedies: Vec<String>) -> Result<(), Box<TooLarge>> {
    require_with(what, needs, Need::new("", 0, ""), held, remedies)
}

/// Creates the error for `needs` whose allocation failed.
pub fn refusal(what: &str, needs: Vec<Need>, remedies: Vec<String>) -> Box<TooLarge> {
    let unknown = || Available { bytes: 0, limit: "the system gives no more".to_owned(), is_of_requests: true };
    TooLarge::new(what, needs, Available::now().unwrap_or_else(unknown), remedies)
}

impl TooLarge {
    fn new(what: &str, needs: Vec<Need>, available: Available, remedies: Vec<String>) -> Box<Self> {
        let (what, needs) = (what.to_owned(), needs.into_iter().filter(|need| need.bytes > 0).collect());
        Box::new(Self { what, needs, available, remedies, is_estimate: false })
    }
}

/// Returns the sum of all sizes, saturated at the largest number.
pub fn total(needs: &[Need]) -> u64 {
    needs.iter().fold(0, |sum, need| sum.saturating_add(need.bytes))
}

/// One line per need and per remedy.
struct Table<'a> {
    needs: &'a [Need],
    remedies: &'a [String],
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |need: &Need| [need.what.to_string(), Size(need.bytes).to_string(), need.detail.to_string()];
        let rows: Vec<_> = self.needs.iter().map(row).collect();
        for line in aligned(&rows, |column| column == 1) {
            write!(f, "\n  {line}")?;
        }
        match self.remedies {
            [] => Ok(()),
            remedies => write!(f, "\nto need less: {}", remedies.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn available(bytes: u64) -> Available {
        Available { bytes, limit: "the memory of this machine".to_owned(), is_of_requests: false }
    }

    #[test]
    fn a_refusal_says_every_size_and_what_would_help() {
        let needs = vec![
            Need::new("weights", 4_000_000_000, "1,000,000,000 numbers"),
            Need::new("gradients", 4_000_000_000, ""),
            Need::new("moments of adamw", 8_000_000_000, "2 for each weight"),
        ];
        let remedies = vec!["a smaller model".to_owned(), "`optimizer.kind = \"sgd\"`".to_owned()];
        let refused = TooLarge {
            what: "the run".to_owned(),
            needs,
            available: available(6_100_000_000),
            remedies,
            is_estimate: false,
        };
        let expected = "\
the run needs at least 16 GB of memory, and 6.1 GB are available: the memory of this machine
  weights           4.0 GB  1,000,000,000 numbers
  gradients         4.0 GB
  moments of adamw  8.0 GB  2 for each weight
to need less: a smaller model; `optimizer.kind = \"sgd\"`";
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn a_failure_is_expected_within_a_request_alone() {
        assert!(!failure_is_expected());
        assert!(expect_failure(|| expect_failure(failure_is_expected) && failure_is_expected()));
        assert!(!failure_is_expected());
    }

    #[test]
    fn what_fits_is_not_refused_and_a_sum_beyond_all_numbers_is() {
        require("a page", vec![Need::new("page", 4096, "")], 0, Vec::new()).unwrap();
        let all = vec![Need::new("much", u64::MAX, ""), Need::new("more", 7, "")];
        assert_eq!(total(&all), u64::MAX);
        if Available::now().is_some() {
            assert!(require("all", all, 0, Vec::new()).is_err());
        }
    }
}
