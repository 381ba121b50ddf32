//! Did you mean …?

/// The candidate nearest to `word`, when it is near enough to be a slip of the hand.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let limit = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (rank(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(rank, _)| *rank <= limit)
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, candidate)| candidate)
}

/// Edit distance; the beginning of a name (`docker` for `docker-daemon`) counts as one slip.
fn rank(word: &str, candidate: &str) -> usize {
    if word.len() >= 3 && candidate.starts_with(word) { 1 } else { distance(word, candidate) }
}

/// Insertions, deletions and replacements that make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut last = i + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = *cell;
            last = replaced.min(*cell + 1).min(last + 1);
            *cell = last;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["docker-daemon", "traefik-client", "nginx-gateway", "nginx-mesh"];

    #[test]
    fn slips_are_recognised() {
        for (word, meant) in [
            ("docker-deamon", "docker-daemon"),
            ("DOCKER-DAEMON", "docker-daemon"),
            ("traefik", "traefik-client"),
            ("traefikclient", "traefik-client"),
            ("nginx-mash", "nginx-mesh"),
        ] {
            assert_eq!(nearest(word, NAMES), Some(meant), "{word}");
        }
    }

    #[test]
    fn other_words_bring_no_suggestion() {
        for word in ["", "x", "portainer", "--all"] {
            assert_eq!(nearest(word, NAMES), None, "{word}");
        }
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("é", "e", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
