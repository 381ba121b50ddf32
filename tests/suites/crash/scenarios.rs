//! Operations that are interrupted at each of their steps.

use std::fs;

use anyhow::Result;
use phoenix_protocol::executor::{Operation, RollbackTo};

use crate::executor::Executor;
use crate::place::{Place, Shape};

/// An operation on the entry of a place.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// Something is noted after the files are in place. When that fails, it is told although they are.
    pub(crate) notes_afterwards: bool,
    /// Brings the place into the state before, and gives the request. No executor runs afterwards.
    arrange: fn(&Place) -> Result<Operation>,
}

impl Scenario {
    /// A place in which everything is as it is before the operation, saved, and the request.
    pub(crate) fn arranged(&self) -> Result<(Place, Operation)> {
        let place = Place::new(self.shape)?;
        let operation = (self.arrange)(&place)?;
        place.save()?;
        Ok((place, operation))
    }
}

const fn scenario(name: &'static str, shape: Shape, arrange: fn(&Place) -> Result<Operation>) -> Scenario {
    Scenario { name, shape, notes_afterwards: false, arrange }
}

/// Lets an executor do something, and end.
fn with<T>(place: &Place, work: impl FnOnce(&mut Executor) -> Result<T>) -> Result<T> {
    let mut executor = Executor::start(place)?;
    let done = work(&mut executor)?;
    executor.end()?;
    Ok(done)
}

fn first_prepare(place: &Place) -> Result<Operation> {
    with(place, |executor| Ok(Operation::Prepare { entry: executor.entry()? }))
}

fn first_installation(place: &Place) -> Result<Operation> {
    with(place, |executor| place.installation(executor, 1))
}

fn renewal(place: &Place) -> Result<Operation> {
    with(place, |executor| {
        place.issue(executor, 1)?;
        place.installation(executor, 2)
    })
}

/// With two generations already, of which one goes.
fn third_renewal(place: &Place) -> Result<Operation> {
    with(place, |executor| {
        place.issue(executor, 1)?;
        place.issue(executor, 2)?;
        place.installation(executor, 3)
    })
}

fn restore(place: &Place) -> Result<Operation> {
    with(place, |executor| {
        place.issue(executor, 1)?;
        Ok(Operation::Restore { entry: executor.entry()? })
    })
}

fn healing_of_a_deletion(place: &Place) -> Result<Operation> {
    let operation = restore(place)?;
    for name in ["key.pem", "chain.pem"] {
        fs::remove_file(place.live(name))?;
    }
    Ok(operation)
}

fn healing_of_a_foreign_pair(place: &Place) -> Result<Operation> {
    let operation = restore(place)?;
    fs::write(place.live("cert.pem"), "a certificate of somebody else\n")?;
    fs::write(place.live("key.pem"), "a key of somebody else\n")?;
    Ok(operation)
}

fn rollback(place: &Place) -> Result<Operation> {
    with(place, |executor| {
        place.issue(executor, 1)?;
        place.issue(executor, 2)?;
        Ok(Operation::Rollback { entry: executor.entry()?, to: RollbackTo::Previous })
    })
}

/// What was taken back is put in place again.
fn second_try(place: &Place) -> Result<Operation> {
    let rollback = rollback(place)?;
    with(place, |executor| {
        executor.ask(rollback)??;
        Ok(Operation::Rollback { entry: executor.entry()?, to: RollbackTo::Newer })
    })
}

fn activation(place: &Place) -> Result<Operation> {
    with(place, |executor| {
        place.issue(executor, 1)?;
        let install = place.installation(executor, 2)?;
        executor.ask(install)??;
        Ok(Operation::Activate { entries: vec![executor.entry()?] })
    })
}

/// The one whose interruptions are recovered from.
pub(crate) const RENEWAL: &Scenario = &SCENARIOS[2];

/// Everything that changes a disk for an entry.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("first prepare", Shape::Full, first_prepare),
    scenario("first installation", Shape::Plain, first_installation),
    scenario("renewal", Shape::Full, renewal),
    scenario("third renewal", Shape::Plain, third_renewal),
    scenario("renewal of a combined file", Shape::Combined, renewal),
    scenario("healing of a deletion", Shape::Full, healing_of_a_deletion),
    Scenario {
        notes_afterwards: true,
        ..scenario("healing of a foreign pair", Shape::Plain, healing_of_a_foreign_pair)
    },
    scenario("rollback", Shape::Full, rollback),
    scenario("second try after a rollback", Shape::Plain, second_try),
    scenario("activation", Shape::Plain, activation),
];
