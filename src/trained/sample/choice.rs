//! The choice of a token by the probabilities of all.

use super::SampleOptions;
use crate::loss::largest;

/// Returns the token that `uniform`, a number in `[0, 1)`, chooses: candidates are ordered by number, each with an
/// interval as long as its probability.
pub(super) fn choose(logits: &[f32], options: &SampleOptions, uniform: f64) -> u32 {
    let most = largest(logits);
    if options.temperature == 0.0 {
        return most;
    }
    let candidates = most_probable(logits, options.top_k.unwrap_or(usize::MAX));
    let top = f64::from(logits[most as usize]);
    let weight = |token: &usize| ((f64::from(logits[*token]) - top) / options.temperature).exp();
    let total: f64 = candidates.iter().map(weight).sum();
    let (mut reached, goal) = (0.0, uniform * total);
    let chosen = candidates.iter().find(|token| {
        reached += weight(token);
        reached > goal
    });
    // Rounding may leave the sum slightly below 1.
    chosen.map_or(most, |token| *token as u32)
}

/// Returns the numbers of the `count` most probable tokens in ascending order; lower numbers first if several are
/// equal.
fn most_probable(logits: &[f32], count: usize) -> Vec<usize> {
    let mut tokens: Vec<usize> = (0..logits.len()).collect();
    if count < tokens.len() {
        tokens.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        tokens.truncate(count);
        tokens.sort_unstable();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [0.0, 2.0, 1.0, 2.0];

    fn options(temperature: f64, top_k: Option<usize>) -> SampleOptions {
        SampleOptions { temperature, top_k, ..SampleOptions::default() }
    }

    /// Returns how often each of the four tokens is chosen for 10,000 evenly spaced numbers.
    fn shares(options: SampleOptions) -> [f64; 4] {
        let mut counts = [0.0; 4];
        for i in 0..10_000 {
            counts[choose(&LOGITS, &options, f64::from(i) / 1e4) as usize] += 1e-4;
        }
        counts
    }

    #[test]
    fn a_token_is_chosen_as_often_as_it_is_probable() {
        for temperature in [0.5, 1.0, 3.0] {
            let weights = LOGITS.map(|logit| (f64::from(logit) / temperature).exp());
            let sum: f64 = weights.iter().sum();
            for (share, weight) in shares(options(temperature, None)).iter().zip(weights) {
                // Four bounds between 10,000 points, each off by at most one.
                assert!((share - weight / sum).abs() < 2.5e-4, "{share} {}", weight / sum);
            }
        }
    }

    #[test]
    fn temperature_zero_is_greedy_and_the_top_tokens_alone_are_chosen_from() {
        assert_eq!(shares(options(0.0, None)).map(f64::round), [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(shares(options(1.0, Some(1))).map(f64::round), [0.0, 1.0, 0.0, 0.0]);
        let two = shares(options(1.0, Some(2)));
        assert!(two[0] == 0.0 && two[2] == 0.0 && (two[1] - 0.5).abs() < 1e-3, "{two:?}");
        assert_eq!(shares(options(1.0, Some(9))), shares(options(1.0, None)));
    }

    #[test]
    fn a_temperature_near_zero_is_nearly_greedy() {
        assert_eq!(shares(options(1e-300, None))[2], 0.0);
        assert!(options(f64::NAN, None).check().is_err() && options(-1.0, None).check().is_err());
        assert!(options(1.0, Some(0)).check().is_err());
    }
}
