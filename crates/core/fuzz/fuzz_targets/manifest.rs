//! Any text as manifest: no panic, every problem inside the text, valid entries survive their own JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use phoenix_core::diagnostic::Colour;
use phoenix_core::manifest::{Context, Entry, Manifest};
use phoenix_core::settings::Settings;

const CERTD: &str = include_str!("../../../../config/certd.toml");

fuzz_target!(|text: &str| {
    let settings = Settings::parse(CERTD, "certd.toml").expect("the shipped configuration is good");
    let parsed = Manifest::parse(text, &Context::of(&settings));
    for problem in &parsed.diagnostics {
        assert!(text.get(problem.span.clone()).is_some(), "{problem:?}");
    }
    let _ = parsed.diagnostics.render(Colour::Plain);
    let _ = parsed.diagnostics.located();
    match parsed.manifest {
        None => assert!(parsed.diagnostics.has_errors()),
        Some(manifest) => {
            for entry in &manifest.entries {
                let json = serde_json::to_string(entry).expect("entries can be written");
                assert_eq!(&serde_json::from_str::<Entry>(&json).expect("and read"), entry);
            }
        }
    }
});
