//! What a world saw: a simulation proves something only of what happens in it.

/// Something that is to happen in many worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// A pair from before our time was taken over.
    Adopted,
    /// Our copy was put back.
    Restored,
    /// A second CA gave what the first one could not.
    FellBack,
    /// A pair was taken back because its consumer did not use it.
    RolledBack,
    /// A pair was taken back because an operator wanted it.
    OrderedBack,
    /// A pair that was taken back was put in place again.
    TriedAgain,
    /// An entry found out whether the clocks still differ.
    ClockTrial,
    /// The clocks were found to agree again.
    ClocksAgree,
    /// What was blocked was tried at once because something about its CA was changed.
    IssuerMended,
    /// A look at a consumer had no turn.
    LookPutOff,
    /// A certificate was asked to go only so far, and is held there.
    Held,
    /// An operator's urgent order was fulfilled.
    Renewed,
    /// An operator's order to bring everything about was fulfilled.
    Synced,
    /// A look that an operator had asked for ended.
    LookedAsAsked,
    /// An entry was paused.
    Paused,
    /// A pause ended.
    Resumed,
    /// The machine slept.
    Slept,
    /// The machine was off for longer than a certificate lives.
    LongOff,
    /// State directories came back from an older copy.
    SnapshotBack,
    /// An entry noticed that records are not as they were left.
    Noticed,
    /// The host's clock was wrong by more than a certificate lives.
    ClockFarOff,
    /// A command waited for its window.
    WindowClosed,
    /// A command waited for its restart budget.
    RestartBudget,
    /// Another writer was left alone.
    ForeignWriter,
    /// Too many certificates were wanted within one lifetime.
    DriftLoop,
}

impl Activity {
    /// Every one.
    pub const ALL: [Self; 25] = [
        Self::Adopted,
        Self::Restored,
        Self::FellBack,
        Self::RolledBack,
        Self::OrderedBack,
        Self::TriedAgain,
        Self::ClockTrial,
        Self::ClocksAgree,
        Self::IssuerMended,
        Self::LookPutOff,
        Self::Held,
        Self::Renewed,
        Self::Synced,
        Self::LookedAsAsked,
        Self::Paused,
        Self::Resumed,
        Self::Slept,
        Self::LongOff,
        Self::SnapshotBack,
        Self::Noticed,
        Self::ClockFarOff,
        Self::WindowClosed,
        Self::RestartBudget,
        Self::ForeignWriter,
        Self::DriftLoop,
    ];
}

/// In how many worlds each [`Activity`] was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activities([u64; Activity::ALL.len()]);

impl Activities {
    /// It was seen in this world.
    pub(super) fn saw(&mut self, activity: Activity) {
        self.0[activity as usize] = 1;
    }

    /// The worlds in which it was seen.
    pub fn worlds(&self, activity: Activity) -> u64 {
        self.0[activity as usize]
    }
}

impl std::ops::AddAssign for Activities {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }
}
