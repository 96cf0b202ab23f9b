//! Empty: this package exists for its build script, which says where libmujoco lies.
