//! Line ends: a text is edited with those of Unix, and gets back the ones that it had.

use crate::{Edit, Edited, Editor, Unclear};

const WINDOWS: &str = "\r\n";

/// Edits a text whatever its line ends are. One that is left as it is may have any.
pub(crate) fn edit(text: &str, editor: Editor<'_>) -> Edit {
    if text.starts_with('\u{feff}') {
        let advice = "sed -i '1s/^\\xEF\\xBB\\xBF//' FILE";
        return Err(Unclear::new(1, format!("begins with a byte order mark: take it away ({advice})")));
    }
    if !text.contains(WINDOWS) {
        return editor(text);
    }
    let plain = text.replace(WINDOWS, "\n");
    let edited = editor(&plain)?;
    if edited.text == plain {
        return Ok(Edited { text: text.to_owned(), ..edited });
    }
    let advice = "convert it first (sed -i 's/\\r$//' FILE)";
    if text.starts_with("#!") {
        let message =
            format!("ends its lines as Windows does, so that no program is found that runs it: {advice}");
        return Err(Unclear::new(1, message));
    }
    if let Some(line) =
        text.split_inclusive('\n').position(|line| !line.ends_with(WINDOWS) && line.ends_with('\n'))
    {
        let message = format!("ends as on Unix, other lines as on Windows: {advice}");
        return Err(Unclear::new(line + 1, message));
    }
    Ok(Edited { text: edited.text.replace('\n', WINDOWS), ..edited })
}
