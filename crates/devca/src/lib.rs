//! Embedded CA that speaks the Step-CA JWK API, for the demo and for faults that a real CA cannot be asked for.
