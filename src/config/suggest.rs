//! What a misspelt word was probably meant to be.

/// The candidate that differs from `word` in the fewest letters, if that is at most a third of it.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if word.len() > WORD_OCTETS_MAX {
        return None;
    }
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= WORD_OCTETS_MAX)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Longer words get no suggestion: the comparison takes time in proportion to the product of both lengths.
const WORD_OCTETS_MAX: usize = 64;

/// How many letters must be put in, left out, replaced or swapped with their neighbour to turn `a` into `b`,
/// upper and lower case being the same (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (letters(a), letters(b));
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                let swapped: usize = before_last[j - 2];
                least = least.min(swapped + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

fn letters(word: &str) -> Vec<char> {
    word.chars().map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_found() {
        for (word, meant) in
            [("lisen", "listen"), ("intreval", "interval"), ("Fall", "fall"), ("eu_west", "eu-west")]
        {
            assert_eq!(nearest(word, ["listen", "interval", "fall", "rise", "eu-west"]), Some(meant));
        }
    }

    #[test]
    fn other_words_are_left_alone() {
        assert_eq!(nearest("colour", ["listen", "interval", "fall"]), None);
        assert_eq!(nearest("", ["listen"]), None);
        assert_eq!(nearest(&"x".repeat(100_000), ["listen"]), None);
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
