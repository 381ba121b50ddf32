//! "Did you mean …?"

/// The candidate that `word` was probably meant to be. The beginning of a candidate (`docker` for `docker-daemon`) counts
/// as one slip.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long words are no misspelling of a short one, and the distance below costs the product of the lengths.
    if word.len() > 64 {
        return None;
    }
    let word: Vec<char> = plain(word);
    candidates
        .into_iter()
        .map(|candidate| (slips(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `` did you mean `x`? `` or, without a candidate, `otherwise`.
pub(crate) fn advice<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: impl Into<String>,
) -> String {
    closest(word, candidates).map_or_else(|| otherwise.into(), |near| format!("did you mean `{near}`?"))
}

/// Case and separators are what people get wrong most, so they count nothing.
fn plain(word: &str) -> Vec<char> {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

fn slips(word: &[char], candidate: &[char]) -> usize {
    if word.len() >= 3 && candidate.starts_with(word) {
        usize::from(word != candidate)
    } else {
        distance(word, candidate)
    }
}

/// Levenshtein distance in which two neighbours in the wrong order are one slip, not two.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&row, j) + usize::from(from != to);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            let swapped = if swapped { at(&above, j - 1) + 1 } else { usize::MAX };
            next.push(replaced.min(at(&row, j + 1) + 1).min(at(&next, j) + 1).min(swapped));
        }
        above = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_are_recognized_and_other_words_are_not() {
        let fields = ["common_name", "key_path", "cert_path", "sans"];
        for (word, meant) in [
            ("commonName", Some("common_name")),
            ("common-name", Some("common_name")),
            ("comon_name", Some("common_name")),
            ("keypath", Some("key_path")),
            ("san", Some("sans")),
            ("post_hook", None),
            ("", None),
            (&"common_name".repeat(100), None),
        ] {
            assert_eq!(closest(word, fields), meant, "{word}");
        }
    }

    #[test]
    fn names_of_entries_are_recognized_by_their_beginning_too() {
        let names = ["docker-daemon", "traefik-client", "nginx-gateway", "nginx-mesh"];
        for (word, meant) in [
            ("docker-deamon", Some("docker-daemon")),
            ("DOCKER-DAEMON", Some("docker-daemon")),
            ("traefik", Some("traefik-client")),
            ("nginx-mash", Some("nginx-mesh")),
            ("x", None),
            ("portainer", None),
            ("--all", None),
        ] {
            assert_eq!(closest(word, names), meant, "{word}");
        }
    }

    #[test]
    fn the_distance_counts_edits() {
        let count = |a: &str, b: &str| distance(&plain(a), &plain(b));
        assert_eq!(count("kitten", "sitting"), 3);
        assert_eq!(count("", "abc"), 3);
        assert_eq!(count("abc", ""), 3);
        assert_eq!(count("same", "same"), 0);
        assert_eq!(count("tsl", "tls"), 1);
        assert_eq!(count("docker-deamon", "docker-daemon"), 1);
        assert_eq!(count("ca", "abc"), 3);
    }
}
