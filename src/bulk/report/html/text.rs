//! Numbers and texts as a page shows them.

/// Characters of a text that are shown.
const LONGEST: usize = 2000;

/// A text as HTML: nothing in it is markup, controls its direction or is invisible.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars().take(LONGEST) {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            // Marks of direction could show a text in another order than it has.
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                escaped.extend(character.escape_unicode());
            }
            // A page cannot hold these two, nor controls.
            '\u{fffe}' | '\u{ffff}' => escaped.extend(character.escape_unicode()),
            control if control.is_control() => escaped.extend(control.escape_default()),
            other => escaped.push(other),
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        escaped.push('…');
    }
    escaped
}

/// A whole number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number to three digits.
pub(super) fn rate(number: f64) -> String {
    match number {
        number if !number.is_finite() => "unknown".to_owned(),
        number if number >= 99.95 => count(number.round() as u64),
        number if number >= 9.995 => trimmed(format!("{number:.1}")),
        number if number > 0.0 && number < 0.01 => format!("{number:.1e}"),
        number => trimmed(format!("{number:.2}")),
    }
}

/// A share as HTML.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        share if !share.is_finite() => "unknown".to_owned(),
        share if share > 0.0 && share < 0.01 => "&lt; 0.01 %".to_owned(),
        share if share < 10.0 => trimmed(format!("{share:.2}")) + " %",
        share => format!("{share:.0} %"),
    }
}

pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        seconds if !seconds.is_finite() || seconds < 0.0 => "unknown".to_owned(),
        0.0 => "0 s".to_owned(),
        seconds if seconds < 1e-3 => format!("{} µs", rate(seconds * 1e6)),
        seconds if seconds < 0.9995 => format!("{} ms", rate(seconds * 1e3)),
        seconds if seconds < 99.95 => format!("{} s", rate(seconds)),
        seconds if seconds < 5970.0 => parts((seconds.round() as u64, 60), ["min", "s"]),
        seconds => parts(((seconds / 60.0).round() as u64, 60), ["h", "min"]),
    }
}

/// A number as so many of the larger unit and what is left of the smaller one.
fn parts((number, each): (u64, u64), [large, small]: [&str; 2]) -> String {
    match (number / each, number % each) {
        (whole, 0) => format!("{} {large}", count(whole)),
        (whole, rest) => format!("{} {large} {rest} {small}", count(whole)),
    }
}

/// Bytes to three digits, in powers of a thousand.
pub(super) fn bytes(number: f64) -> String {
    let mut scaled = number;
    for unit in ["B", "kB", "MB", "GB"] {
        if scaled < 999.5 {
            return format!("{} {unit}", rate(scaled));
        }
        scaled /= 1000.0;
    }
    format!("{} TB", rate(scaled))
}

/// A decimal number without zeros at its end.
fn trimmed(number: String) -> String {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_right() {
        let counts = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        counts.iter().for_each(|&(number, due)| assert_eq!(count(number), due));
        let rates = [
            (0.0, "0"),
            (0.004, "4.0e-3"),
            (0.5, "0.5"),
            (9.0, "9"),
            (9.999, "10"),
            (99.96, "100"),
            (4e6, "4,000,000"),
        ];
        rates.iter().for_each(|&(number, due)| assert_eq!(rate(number), due));
        assert_eq!(rate(f64::NAN), "unknown");
        let times = [
            (0.0, "0 s"),
            (2e-7, "0.2 µs"),
            (0.01234, "12.3 ms"),
            (0.9996, "1 s"),
            (59.0, "59 s"),
            (180.0, "3 min"),
            (199.6, "3 min 20 s"),
            (7260.0, "2 h 1 min"),
            (1e7, "2,777 h 47 min"),
        ];
        times.iter().for_each(|&(seconds, due)| assert_eq!(duration(seconds), due));
        let sizes = [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (1000.0, "1 kB"),
            (4.2e8, "420 MB"),
            (1.5e9, "1.5 GB"),
            (2e16, "20,000 TB"),
        ];
        sizes.iter().for_each(|&(number, due)| assert_eq!(bytes(number), due));
        let shares = [(0.0, "0 %"), (1e-6, "&lt; 0.01 %"), (0.0123, "1.23 %"), (0.5, "50 %"), (1.0, "100 %")];
        shares.iter().for_each(|&(share, due)| assert_eq!(percent(share), due));
    }

    #[test]
    fn a_text_is_never_markup() {
        assert_eq!(escape("<b a='x'>&amp;\"</b>"), "&lt;b a=&#39;x&#39;&gt;&amp;amp;&quot;&lt;/b&gt;");
        assert_eq!(escape("a\nb\u{1b}[31m\u{0}\u{202e}cod.exe"), r"a\nb\u{1b}[31m\u{0}\u{202e}cod.exe");
        assert_eq!(escape("Größe 控"), "Größe 控");
        assert_eq!(escape(&"x".repeat(9999)).chars().count(), LONGEST + 1);
    }
}
