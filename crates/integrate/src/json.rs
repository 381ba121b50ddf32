//! JSON that is edited in place: whatever is not touched stays as it was written.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstArray, CstInputValue, CstObject, CstRootNode};

use crate::{Edited, Unclear};

/// Deepest nesting that is read; the files have five levels.
const DEEPEST: usize = 100;

/// A JSON text that can be edited.
pub(crate) struct Document {
    root: CstRootNode,
    end: &'static str,
}

impl Document {
    /// Reads plain JSON: no comments, no trailing commas.
    pub(crate) fn parse(text: &str) -> Result<Self, Unclear> {
        if let Some(line) = too_deep(text) {
            return Err(Unclear::new(line, "is nested too deeply to be one of these files"));
        }
        let strict = ParseOptions {
            allow_comments: false,
            allow_loose_object_property_names: false,
            allow_trailing_commas: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        };
        let root = CstRootNode::parse(text, &strict).map_err(|error| {
            Unclear::new(error.line_display(), format!("is not valid JSON: {}", error.kind()))
        })?;
        // The parser for editing reads over comments, which jq and phoenix-certd do not take.
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
            return Err(Unclear::new(error.line(), format!("is not valid JSON: {error}")));
        }
        Ok(Self { root, end: if text.ends_with('\n') { "\n" } else { "" } })
    }

    /// The object that the text is.
    pub(crate) fn object(&self) -> Result<CstObject, Unclear> {
        self.root.object_value().ok_or_else(|| Unclear::new(1, "is not a JSON object"))
    }

    /// The array that the text is.
    pub(crate) fn array(&self) -> Option<CstArray> {
        self.root.array_value()
    }

    /// The text as it is now.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.root.to_string().trim_end(), self.end)
    }

    /// The text with its edits.
    pub(crate) fn finish(self, before: &str, reasons: Vec<String>, remarks: Vec<String>) -> Edited {
        let text = if reasons.is_empty() { before.to_owned() } else { self.text() };
        Edited { text, reasons, remarks }
    }
}

/// The line of the first bracket that nests too deeply.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut inside, mut escaped, mut line) = (0_usize, false, false, 1);
    for byte in text.bytes() {
        match byte {
            b'\n' => line += 1,
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b'[' | b'{' if !inside => depth += 1,
            b']' | b'}' if !inside => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Some(line);
        }
    }
    None
}

/// The text of a string or number.
pub(crate) fn text_of(object: &CstObject, key: &str) -> Option<String> {
    let value = object.get(key)?.value()?;
    value
        .as_string_lit()
        .and_then(|literal| literal.decoded_value().ok())
        .or_else(|| value.as_number_lit().map(|number| number.to_string()))
}

/// A truth value.
pub(crate) fn bool_of(object: &CstObject, key: &str) -> Option<bool> {
    Some(object.get(key)?.value()?.as_boolean_lit()?.value())
}

/// The objects of an array.
pub(crate) fn objects(array: &CstArray) -> Vec<CstObject> {
    array.elements().iter().filter_map(jsonc_parser::cst::CstNode::as_object).collect()
}

/// An object with these texts.
pub(crate) fn texts(pairs: &[(&str, &str)]) -> CstInputValue {
    let pairs =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), CstInputValue::String((*value).to_owned())));
    CstInputValue::Object(pairs.collect())
}
