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

/// Levenshtein distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for ((to, replace), insert) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            let delete = next.last().copied().unwrap_or_default();
            let cost = usize::from(from != to);
            next.push((replace + cost).min(insert + 1).min(delete + 1));
        }
        row = next;
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
    }
}
