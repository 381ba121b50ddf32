//! Which entry does a name mean?

/// Index of the entry that `word` means among `(name, common name)` pairs: the one of that name, or the only one
/// with that common name.
pub fn position(word: &str, entries: &[[&str; 2]]) -> Option<usize> {
    entries.iter().position(|[name, _]| *name == word).or_else(|| {
        let mut same = entries.iter().enumerate().filter(|(_, [_, common])| *common == word);
        same.next().filter(|_| same.next().is_none()).map(|(index, _)| index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_before_a_common_name_and_a_common_name_has_to_be_unique() {
        let entries = [["a", "b"], ["b", "c.d"], ["e", "f.g"], ["h", "f.g"]];
        for (word, index) in [("a", Some(0)), ("b", Some(1)), ("c.d", Some(1)), ("f.g", None), ("x", None)] {
            assert_eq!(position(word, &entries), index, "{word}");
        }
    }
}
