//! "Did you mean": the nearest of the words that would have been right.

/// Longer words are no typos of ours, and the distance costs their product.
const MAX_WORD_BYTES: usize = 64;

/// The nearest of `known`, if it is near enough to be meant.
pub(crate) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if written.len() > MAX_WORD_BYTES {
        return None;
    }
    let written = fold(written);
    let (distance, word) = known
        .into_iter()
        .map(|word| (distance(&written, &fold(word)), word))
        .min_by_key(|(distance, _)| *distance)?;
    // A third of the word may be wrong, and two letters of a short one.
    let near = (word.len() / 3).max(1).min(3);
    (distance <= near).then_some(word)
}

/// `require_mtls` and `requireMTLS` are near `require-mtls`.
fn fold(word: &str) -> Vec<char> {
    let plain = word.chars().filter(|c| *c != '_' && *c != '-');
    plain.map(|c| c.to_ascii_lowercase()).collect()
}

/// Letters to insert, delete, change or swap with a neighbour (optimal string alignment).
fn distance(from: &[char], to: &[char]) -> usize {
    let width = to.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut above: Vec<usize> = (0..width).collect();
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let change = at(&above, j) + usize::from(a != b);
            let mut best = change.min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && from.get(i - 1) == Some(b) && to.get(j - 1) == Some(a);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = above;
        above = row;
    }
    at(&above, to.len())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const KEYS: [&str; 5] = ["require-mtls", "exact", "prefix", "patterns", "tls"];

    #[test]
    fn finds_what_was_meant() {
        for (written, meant) in [
            ("require_mtls", "require-mtls"),
            ("requireMtls", "require-mtls"),
            ("exacts", "exact"),
            ("perfix", "prefix"),
            ("pattern", "patterns"),
            ("tsl", "tls"),
        ] {
            assert_eq!(nearest(written, KEYS), Some(meant), "{written}");
        }
    }

    #[test]
    fn is_silent_when_nothing_is_near() {
        for written in ["", "x", "certificate", &"a".repeat(10_000)] {
            assert_eq!(nearest(written, KEYS), None, "{written}");
        }
    }
}
