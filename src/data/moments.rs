//! Booleans, dates and times as texts: a Parquet file stores them as numbers, and a CSV file of the same table as words.

/// A value that Parquet stores as a number, and that a text file writes as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// Yes or no.
    Boolean(bool),
    /// Days since 1970.
    Days(i32),
    /// Ticks since the beginning of 1970, and their number in a second.
    Ticks { ticks: i64, per_second: u32 },
}

impl Stored {
    /// Returns the number as it is stored.
    pub fn number(self) -> i128 {
        match self {
            Self::Boolean(yes) => yes.into(),
            Self::Days(days) => days.into(),
            Self::Ticks { ticks, .. } => ticks.into(),
        }
    }

    /// Returns the words of the value in text files, those of pandas first.
    pub fn words(self) -> Vec<String> {
        match self {
            Self::Boolean(true) => ["True", "true", "TRUE"].map(str::to_owned).to_vec(),
            Self::Boolean(false) => ["False", "false", "FALSE"].map(str::to_owned).to_vec(),
            Self::Days(days) => vec![date(days.into()), format!("{} 00:00:00", date(days.into()))],
            Self::Ticks { ticks, per_second } => words_of(ticks, per_second.max(1).into()),
        }
    }

    /// Returns the word of the value among `known` ones: the stored number, as in tables read from Parquet, or one of
    /// its words.
    pub fn among(self, known: &[String]) -> String {
        let stored = self.number().to_string();
        if known.contains(&stored) {
            return stored;
        }
        let words = self.words();
        words.iter().find(|word| known.contains(word)).or(words.first()).cloned().unwrap_or(stored)
    }
}

fn words_of(ticks: i64, per_second: i64) -> Vec<String> {
    let (seconds, rest) = (ticks.div_euclid(per_second), ticks.rem_euclid(per_second));
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let time = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    let nanoseconds = i128::from(rest) * 1_000_000_000 / i128::from(per_second);
    let (date, mut words, mut fractions) = (date(day), Vec::new(), Vec::new());
    if nanoseconds == 0 {
        fractions.push(String::new());
        words.extend((second == 0).then(|| date.clone()));
    }
    // As many digits as the finest time of the column needs, or no more than this one needs.
    for (digits, unit) in [(3, 1_000_000), (6, 1000), (9, 1)] {
        if nanoseconds % unit == 0 {
            fractions.push(format!(".{:0digits$}", nanoseconds / unit));
        }
    }
    fractions.extend(fractions.last().map(|fraction| fraction.trim_end_matches(['0', '.']).to_owned()));
    for mark in [' ', 'T'] {
        for fraction in &fractions {
            for zone in ["", "+00:00", "Z"] {
                words.push(format!("{date}{mark}{time}{fraction}{zone}"));
            }
        }
    }
    words
}

/// Returns a day, counted from 1970, as year, month and day: `civil_from_days` of Howard Hinnant's "chrono-Compatible
/// Low-Level Date Algorithms".
pub(in crate::data) fn date(day: i64) -> String {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (day, written) in [(0, "1970-01-01"), (-1, "1969-12-31"), (19_782, "2024-02-29"), (11_016, "2000-02-29")] {
            assert_eq!(date(day), written);
        }
    }

    #[test]
    fn a_value_is_found_among_the_words_of_a_text_file_or_the_numbers_of_parquet() {
        let known = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let yes = Stored::Boolean(true);
        assert_eq!(yes.among(&known(&["false", "true"])), "true");
        assert_eq!(yes.among(&known(&["0", "1"])), "1");
        assert_eq!(yes.among(&known(&[])), "True");
        assert_eq!(Stored::Days(19_782).among(&known(&["2024-02-29"])), "2024-02-29");
        let noon = Stored::Ticks { ticks: 43_200_500, per_second: 1000 };
        assert_eq!(noon.among(&known(&["1970-01-01 12:00:00.5"])), "1970-01-01 12:00:00.5");
        assert_eq!(noon.among(&[]), "1970-01-01 12:00:00.500");
        let midnight = Stored::Ticks { ticks: -86_400, per_second: 1 };
        assert_eq!(midnight.among(&known(&["1969-12-31T00:00:00Z"])), "1969-12-31T00:00:00Z");
        assert_eq!(midnight.among(&[]), "1969-12-31");
    }
}
