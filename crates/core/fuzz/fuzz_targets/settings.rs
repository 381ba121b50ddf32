//! Any text as configuration: no panic, every problem inside the text, never refused without a problem.

#![no_main]

use libfuzzer_sys::fuzz_target;
use phoenix_core::settings::Settings;

fuzz_target!(|text: &str| {
    if let Err(problems) = Settings::parse(text, "certd.toml") {
        assert!(!problems.is_empty());
        for problem in &problems {
            assert!(text.get(problem.span.clone()).is_some(), "{problem:?}");
        }
        let _ = problems.to_string();
    }
});
