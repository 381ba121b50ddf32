//! JSON Schema of the manifest, for editors.

/// The schema as text.
pub fn schema() -> String {
    String::new()
}
