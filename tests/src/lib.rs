//! Packet builders, the case table and the lab.
