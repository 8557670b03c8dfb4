//! The edge of the network: peers that are slow, silent, hostile or too many, and how the gateway lets them go.

mod clock;
mod collector;
mod drain;
mod floods;
mod frames;
mod hangup;
mod ports;
mod process;
