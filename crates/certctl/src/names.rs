//! Which entry does a name mean?

use crate::client::RequestError;
use crate::failure::no_such_name;
use crate::plain::plain;
use crate::{Failure, Session, status};

/// Index of the entry that `word` means among `(name, common name)` pairs: the one of that name, or the only one
/// with that common name.
pub fn position(word: &str, entries: &[[&str; 2]]) -> Option<usize> {
    entries.iter().position(|[name, _]| *name == word).or_else(|| {
        let mut same = entries.iter().enumerate().filter(|(_, [_, common])| *common == word);
        same.next().filter(|_| same.next().is_none()).map(|(index, _)| index)
    })
}

/// `name` as a value in the query of a URL.
pub(crate) fn encoded(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The name of the entry that `asked` means, if the daemon has one.
///
/// # Errors
/// [`Failure`], when the daemon cannot be asked.
pub(crate) async fn resolve(session: &Session, asked: &str) -> Result<Option<String>, Failure> {
    let pairs = status::names(&session.daemon).await?;
    let entries: Vec<[&str; 2]> =
        pairs.iter().map(|[name, common]| [name.as_str(), common.as_str()]).collect();
    Ok(position(asked, &entries).and_then(|index| Some(entries.get(index)?[0].to_owned())))
}

/// Why the daemon said no to a request about the names `asked`: an unknown one is told apart, with a suggestion from the
/// names that the daemon knows.
pub(crate) async fn refused(session: &Session, asked: &[String], error: RequestError) -> Failure {
    let error = match error {
        RequestError::Refused(error) if error.code == "no-such-name" => error,
        other => return other.into(),
    };
    let known = status::known_names(&session.daemon).await;
    let pairs: Vec<[&str; 2]> = known.iter().map(|name| [name.as_str(), ""]).collect();
    let unknown = asked.iter().find(|name| position(name, &pairs).is_none());
    Failure::NoSuchName(match unknown {
        Some(name) if !known.is_empty() => no_such_name(name, known.iter().map(String::as_str)),
        Some(_) | None => plain(&error.message).into_owned(),
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
