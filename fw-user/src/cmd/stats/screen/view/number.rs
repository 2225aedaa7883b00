//! Numbers in a form for people.

/// A number in at most six columns.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(crate) fn short(number: u64) -> String {
    const UNITS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if number < 100_000 {
        return number.to_string();
    }
    let mut value = number as f64;
    let mut unit = "";
    for next in UNITS {
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{value:.1}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short() {
        for (number, shown) in [
            (0, "0"),
            (99_999, "99999"),
            (100_000, "100.0k"),
            (999_949, "999.9k"),
            (999_999, "1.0M"),
            (12_345_678, "12.3M"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(short(number), shown);
        }
    }
}
