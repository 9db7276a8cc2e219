//! Rows set aside class by class, so that each part has the classes in the proportion of all rows.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{DataError, Fold, Split};
use crate::rng::{Permutation, Stream};

impl Split {
    /// Like [`Split::new`], with each class in the proportion of all rows: the number of its rows that are set aside is
    /// within one of its share. `classes` has the class of each row.
    ///
    /// # Errors
    /// As [`Split::new`].
    pub fn stratified(classes: &[u32], share: f64, seed: u64) -> Result<Self, DataError> {
        let rows = classes.len();
        let count = Self::count(rows, share)?;
        if count == 0 {
            return Self::last(rows, 0);
        }
        let strata = strata(classes, "split", seed);
        let aside = strata.iter().zip(shares(&strata, rows, count));
        Ok(Self::without(rows, aside.flat_map(|(stratum, count)| stratum.iter().copied().take(count))))
    }

    /// Like [`Split::fold`], with each class in the proportion of all rows: the folds have the same number of rows of a
    /// class within one, and of all rows within one. `classes` has the class of each row.
    ///
    /// # Errors
    /// As [`Split::fold`].
    pub fn stratified_fold(classes: &[u32], fold: Fold, seed: u64) -> Result<Self, DataError> {
        let rows = classes.len();
        if rows < fold.count() {
            return Err(DataError::FewerThanFolds { rows, fold });
        }
        // The rows are dealt to the folds in turn, class after class.
        let in_order = strata(classes, "fold", seed).into_iter().flatten();
        Ok(Self::without(rows, in_order.skip(fold.number() - 1).step_by(fold.count())))
    }
}

/// Returns the rows of each class that has some, in the order of a purpose's permutation.
fn strata(classes: &[u32], purpose: &str, seed: u64) -> Vec<Vec<usize>> {
    let permutation = Permutation::new(Stream::new(seed, purpose), 0, classes.len());
    let mut strata: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for row in (0..classes.len()).map(|position| permutation.at(position)) {
        strata.entry(classes[row]).or_default().push(row);
    }
    strata.into_values().collect()
}

/// Divides `count` of all `rows` rows between the classes in proportion: each gets its share rounded down, and those with
/// the largest remainders, the lower class first, one row more.
fn shares(strata: &[Vec<usize>], rows: usize, count: usize) -> Vec<usize> {
    let exact = |stratum: &Vec<usize>| stratum.len() as u128 * count as u128;
    let mut shares: Vec<usize> = strata.iter().map(|stratum| (exact(stratum) / rows as u128) as usize).collect();
    let missing = count - shares.iter().sum::<usize>();
    let mut by_remainder: Vec<usize> = (0..strata.len()).collect();
    by_remainder.sort_by_key(|&at| Reverse(exact(&strata[at]) % rows as u128));
    for at in by_remainder.into_iter().take(missing) {
        shares[at] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 23 rows of class 0, 9 of class 2 and 2 of class 5, mixed.
    fn classes() -> Vec<u32> {
        (0..34)
            .map(|row| {
                if row % 17 == 3 {
                    5
                } else if row % 4 == 1 {
                    2
                } else {
                    0
                }
            })
            .collect()
    }

    fn of_each(classes: &[u32], rows: &[usize]) -> [usize; 3] {
        [0, 2, 5].map(|class| rows.iter().filter(|&&row| classes[row] == class).count())
    }

    #[test]
    fn each_fold_has_the_classes_in_proportion_and_all_folds_are_all_rows() {
        let classes = classes();
        let all = of_each(&classes, &(0..34).collect::<Vec<_>>());
        let mut seen = Vec::new();
        for number in 1..=5 {
            let split = Split::stratified_fold(&classes, format!("{number}/5").parse().unwrap(), 7).unwrap();
            let rows = split.validation().to_vec();
            assert!([6, 7].contains(&rows.len()) && split.train().len() == 34 - rows.len());
            for (found, all) in of_each(&classes, &rows).into_iter().zip(all) {
                assert!((all / 5..=all.div_ceil(5)).contains(&found), "{found} of {all}");
            }
            seen.extend(rows);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..34).collect::<Vec<_>>());
    }

    #[test]
    fn a_share_has_the_classes_in_proportion_and_as_many_rows_as_any_share() {
        let classes = classes();
        for seed in 0..20 {
            let split = Split::stratified(&classes, 0.25, seed).unwrap();
            let found = of_each(&classes, &split.validation().to_vec());
            let plain = Split::new(34, 0.25, seed).unwrap();
            assert_eq!(found.iter().sum::<usize>(), plain.validation().len());
            for (found, all) in found.into_iter().zip(of_each(&classes, &(0..34).collect::<Vec<_>>())) {
                assert!((found as f64 - 0.25 * all as f64).abs() < 1.0, "{found} of {all}");
            }
        }
        let rows = |seed| Split::stratified(&classes, 0.25, seed).unwrap().validation().to_vec();
        assert_eq!(rows(1), rows(1));
        assert_ne!(rows(1), rows(2));
    }

    #[test]
    fn parts_that_would_be_empty_are_refused() {
        assert!(matches!(Split::stratified(&[0, 1], 0.1, 0), Err(DataError::OneSided { .. })));
        let fold = "1/3".parse().unwrap();
        assert!(matches!(Split::stratified_fold(&[0, 1], fold, 0), Err(DataError::FewerThanFolds { .. })));
    }
}
