//! Operations that are interrupted at each of their steps.

use std::fs;

use anyhow::Result;
use phoenix_protocol::executor::Operation;

use crate::executor::Executor;
use crate::place::{Place, Shape};

/// An operation on the entry of a place.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
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

fn activation(place: &Place) -> Result<Operation> {
    with(place, |executor| {
        place.issue(executor, 1)?;
        let install = place.installation(executor, 2)?;
        executor.ask(install)??;
        Ok(Operation::Activate { entries: vec![executor.entry()?] })
    })
}

/// Everything that changes a disk for an entry.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "first prepare", shape: Shape::Full, arrange: first_prepare },
    Scenario { name: "first installation", shape: Shape::Plain, arrange: first_installation },
    Scenario { name: "renewal", shape: Shape::Full, arrange: renewal },
    Scenario { name: "third renewal", shape: Shape::Plain, arrange: third_renewal },
    Scenario { name: "renewal of a combined file", shape: Shape::Combined, arrange: renewal },
    Scenario { name: "healing of a deletion", shape: Shape::Full, arrange: healing_of_a_deletion },
    Scenario { name: "healing of a foreign pair", shape: Shape::Plain, arrange: healing_of_a_foreign_pair },
    Scenario { name: "activation", shape: Shape::Plain, arrange: activation },
];
