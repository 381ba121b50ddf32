//! Pieces of work in words.

use phoenix_core::lifecycle::Work;

/// What is done.
pub(crate) fn words(work: Work) -> &'static str {
    match work {
        Work::Observe => "the entry is looked at",
        Work::Issue => "a certificate is requested",
        Work::Install => "the new pair is written",
        Work::Adopt => "the pair that is there is taken over",
        Work::Restore => "our own copy is put back",
        Work::Deliver => "the pair is delivered into the guest",
        Work::Activate => "the command is run",
        Work::Verify => "the consumer is looked at",
        Work::Recheck => "it is looked whether the guest still has the files",
        Work::Rollback => "the previous pair is put back",
        Work::Reinstate => "the pair that was taken back is put in place again",
    }
}
