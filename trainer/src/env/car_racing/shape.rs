//! Convex polygons: which vertices they keep and in what order, their mass, and whether two of them touch.
//!
//! Derived from the design of Box2D 2.3 (Copyright (c) 2006-2013 Erin Catto, zlib licence; the notice is in [`super::world`]); altered.

use super::plane::{Vector, vector};
use super::scene::Pose;

/// The skin around each polygon.
const RADIUS: f32 = 2.0 * 0.005;
/// Vertices of a polygon here, at most: the largest of the hull's has as many.
const MOST: usize = 8;

/// A convex polygon of 3 to 8 vertices, anticlockwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Polygon {
    vertices: [[f32; 2]; MOST],
    count: usize,
}

/// What a body gets of a polygon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mass {
    pub(super) mass: f32,
    pub(super) center: Vector,
    /// About the body's origin.
    pub(super) inertia: f32,
}

impl Polygon {
    /// The convex hull of up to 8 `points`, from the rightmost (of those the lowest) on, by gift wrapping.
    pub(super) fn around(points: &[[f32; 2]]) -> Self {
        let point = |i: usize| vector(points[i][0], points[i][1]);
        let first = (1..points.len()).fold(0, |best, i| {
            let (p, b) = (point(i), point(best));
            if p.x > b.x || p.x == b.x && p.y < b.y { i } else { best }
        });
        let mut polygon = Self { vertices: [[0.0; 2]; MOST], count: 0 };
        let mut corner = first;
        loop {
            polygon.vertices[polygon.count] = points[corner];
            polygon.count += 1;
            let next = (1..points.len()).fold(0, |next, i| {
                let (to_next, to_i) = (point(next) - point(corner), point(i) - point(corner));
                let side = to_next.cross(to_i);
                let is_beyond = side == 0.0 && to_i.length_squared() > to_next.length_squared();
                if next == corner || side < 0.0 || is_beyond { i } else { next }
            });
            corner = next;
            if corner == first || polygon.count == MOST {
                return polygon;
            }
        }
    }

    pub(super) fn vertices(&self) -> &[[f32; 2]] {
        &self.vertices[..self.count]
    }

    fn vertex(&self, i: usize) -> Vector {
        let [x, y] = self.vertices[i];
        vector(x, y)
    }

    /// What it weighs at so much a unit of area: the sum over the triangles that its vertices make with their mean.
    pub(super) fn mass(&self, density: f32) -> Mass {
        const THIRD: f32 = 1.0 / 3.0;
        let sum = (0..self.count).fold(Vector::default(), |sum, i| sum + self.vertex(i));
        let reference = (1.0 / self.count as f32) * sum;
        let (mut area, mut center, mut inertia) = (0.0, Vector::default(), 0.0);
        for i in 0..self.count {
            let (a, b) = (self.vertex(i) - reference, self.vertex((i + 1) % self.count) - reference);
            let cross = a.cross(b);
            let triangle = 0.5 * cross;
            area += triangle;
            center += (triangle * THIRD) * (a + b);
            let x2 = a.x * a.x + b.x * a.x + b.x * b.x;
            let y2 = a.y * a.y + b.y * a.y + b.y * b.y;
            inertia += (0.25 * THIRD * cross) * (x2 + y2);
        }
        let mass = density * area;
        let center = (1.0 / area) * center;
        let from_origin = center + reference;
        let inertia = density * inertia + mass * (from_origin.dot(from_origin) - center.dot(center));
        Mass { mass, center: from_origin, inertia }
    }

    /// Its farthest vertex along `direction`; of equal ones the first.
    fn support(&self, direction: Vector) -> usize {
        let (mut best, mut most) = (0, self.vertex(0).dot(direction));
        for i in 1..self.count {
            let value = self.vertex(i).dot(direction);
            if value > most {
                (best, most) = (i, value);
            }
        }
        best
    }
}

/// A box along the axes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    low: Vector,
    high: Vector,
}

impl Bounds {
    /// Around all `points`, of which there is one.
    pub(super) fn around(mut points: impl Iterator<Item = Vector>) -> Self {
        let first = points.next().unwrap_or_default();
        points.fold(Self { low: first, high: first }, |Self { low, high }, p| Self {
            low: vector(low.x.min(p.x), low.y.min(p.y)),
            high: vector(high.x.max(p.x), high.y.max(p.y)),
        })
    }

    /// Around `polygon`, placed at `pose`.
    pub(super) fn of(polygon: &Polygon, pose: &Pose) -> Self {
        Self::around((0..polygon.count).map(|i| pose.place(polygon.vertex(i))))
    }

    /// Around both.
    pub(super) fn with(self, other: Self) -> Self {
        Self::around([self.low, self.high, other.low, other.high].into_iter())
    }

    /// Whether the two come within 0.1 of one another: five times the distance at which polygons touch, and half of that at which Box2D
    /// stops asking.
    pub(super) fn is_near(&self, other: &Self) -> bool {
        const MARGIN: f32 = 0.1;
        self.low.x - other.high.x < MARGIN
            && other.low.x - self.high.x < MARGIN
            && self.low.y - other.high.y < MARGIN
            && other.low.y - self.high.y < MARGIN
    }
}

/// A vertex of the difference of two polygons.
#[derive(Debug, Clone, Copy, Default)]
struct Corner {
    /// Which vertex of either it comes from.
    from: (usize, usize),
    /// Where those are.
    a: Vector,
    b: Vector,
    /// Their difference.
    w: Vector,
    /// Its weight in the closest point.
    weight: f32,
}

/// One to three corners of the difference, whose hull is searched for the point closest to the origin.
struct Simplex {
    corners: [Corner; 3],
    count: usize,
}

/// Whether `a`, which is placed in the world as it is, touches `b` at `pose`: whether the distance between them, skins taken off, is zero
/// (GJK: Gilbert, Johnson & Keerthi 1988, as Box2D iterates it, to at most 20 supports).
pub(super) fn touch(a: &Polygon, b: &Polygon, pose: &Pose) -> bool {
    const MOST_ITERATIONS: usize = 20;
    let corner = |i: usize, j: usize| {
        let (a, b) = (a.vertex(i), pose.place(b.vertex(j)));
        Corner { from: (i, j), a, b, w: b - a, weight: 1.0 }
    };
    let mut simplex = Simplex { corners: [corner(0, 0), Corner::default(), Corner::default()], count: 1 };
    for _ in 0..MOST_ITERATIONS {
        let (before, known) = (simplex.corners.map(|corner| corner.from), simplex.count);
        simplex.reduce();
        if simplex.count == 3 {
            break;
        }
        let direction = simplex.direction();
        if direction.length_squared() < f32::EPSILON * f32::EPSILON {
            break;
        }
        let next = corner(a.support(-direction), b.support(pose.rotation().undo(direction)));
        simplex.corners[simplex.count] = next;
        if before[..known].contains(&next.from) {
            break;
        }
        simplex.count += 1;
    }
    simplex.distance() - (RADIUS + RADIUS) < 10.0 * f32::EPSILON
}

impl Simplex {
    /// Where to look for a corner that is closer to the origin.
    fn direction(&self) -> Vector {
        let [first, second, _] = self.corners;
        if self.count == 1 {
            return -first.w;
        }
        let edge = second.w - first.w;
        match edge.cross(-first.w) > 0.0 {
            true => vector(-edge.y, edge.x),
            false => vector(edge.y, -edge.x),
        }
    }

    /// How far apart the points of the two polygons are that the weights say.
    fn distance(&self) -> f32 {
        let [c1, c2, _] = self.corners;
        let (a, b) = match self.count {
            1 => (c1.a, c1.b),
            2 => (c1.weight * c1.a + c2.weight * c2.a, c1.weight * c1.b + c2.weight * c2.b),
            _ => return 0.0,
        };
        (a - b).length()
    }

    /// Keeps the corners that the closest point is made of, and weighs them.
    fn reduce(&mut self) {
        match self.count {
            2 => self.reduce_edge(),
            3 => self.reduce_triangle(),
            _ => {}
        }
    }

    fn keep_one(&mut self, which: usize) {
        self.corners[0] = Corner { weight: 1.0, ..self.corners[which] };
        self.count = 1;
    }

    /// `(i, j)` with barycentric coordinates that are in proportion to `shares`.
    fn keep_two(&mut self, (i, j): (usize, usize), shares: (f32, f32)) {
        let inverse = 1.0 / (shares.0 + shares.1);
        let one = Corner { weight: shares.0 * inverse, ..self.corners[i] };
        let other = Corner { weight: shares.1 * inverse, ..self.corners[j] };
        (self.corners[0], self.corners[1], self.count) = (one, other, 2);
    }

    fn reduce_edge(&mut self) {
        let [w1, w2, _] = self.corners.map(|corner| corner.w);
        let edge = w2 - w1;
        let second = -w1.dot(edge);
        if second <= 0.0 {
            return self.keep_one(0);
        }
        let first = w2.dot(edge);
        if first <= 0.0 {
            return self.keep_one(1);
        }
        self.keep_two((0, 1), (first, second));
    }

    fn reduce_triangle(&mut self) {
        let [w1, w2, w3] = self.corners.map(|corner| corner.w);
        let (e12, e13, e23) = (w2 - w1, w3 - w1, w3 - w2);
        let d12 = (w2.dot(e12), -w1.dot(e12));
        let d13 = (w3.dot(e13), -w1.dot(e13));
        let d23 = (w3.dot(e23), -w2.dot(e23));
        let n = e12.cross(e13);
        let (d1, d2, d3) = (n * w2.cross(w3), n * w3.cross(w1), n * w1.cross(w2));
        if d12.1 <= 0.0 && d13.1 <= 0.0 {
            self.keep_one(0);
        } else if d12.0 > 0.0 && d12.1 > 0.0 && d3 <= 0.0 {
            self.keep_two((0, 1), d12);
        } else if d13.0 > 0.0 && d13.1 > 0.0 && d2 <= 0.0 {
            self.keep_two((0, 2), d13);
        } else if d12.0 <= 0.0 && d23.1 <= 0.0 {
            self.keep_one(1);
        } else if d13.0 <= 0.0 && d23.0 <= 0.0 {
            self.keep_one(2);
        } else if d23.0 > 0.0 && d23.1 > 0.0 && d1 <= 0.0 {
            // Box2D puts the third before the second.
            self.keep_two((2, 1), (d23.1, d23.0));
        }
        // Else the origin is within the triangle.
    }
}
