//! Every test of the lab, in tiers: the runner names each test after its tier and its file, `quick::lab_hole::native::...`.

mod full;
mod quick;
