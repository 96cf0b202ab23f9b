//! What would break an evolution: an interrupt before anything was validated, a candidate that cannot be scored.
