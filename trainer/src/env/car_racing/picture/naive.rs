//! The picture once more, as Gymnasium makes it: every polygon, every pixel, one after the other, on a whole screen. Slow, and right by
//! its likeness to `car_racing.py` and to the formulas; the painter is held against it.

use super::super::scene::{PLAYFIELD, Scene};
use super::score::ScoreTable;
use super::view::{FIELD, HEIGHT, Point, View, WIDTH, grass, pixel, stripe};
use super::{HULL, STRIPE, WHEEL};

/// 1000×800 pixels, y up until it is flipped.
struct Screen(Vec<[u8; 3]>);

impl Screen {
    fn at(&mut self, x: i32, y: i32) -> Option<&mut [u8; 3]> {
        let inside = (0..WIDTH).contains(&x) && (0..HEIGHT).contains(&y);
        inside.then(|| &mut self.0[(y * WIDTH + x) as usize])
    }

    fn set(&mut self, x: i32, y: i32, colour: [u8; 3]) {
        if let Some(pixel) = self.at(x, y) {
            *pixel = colour;
        }
    }

    fn span(&mut self, x1: i32, x2: i32, y: i32, colour: [u8; 3]) {
        for x in x1.min(x2).max(0)..=x1.max(x2).min(WIDTH) {
            self.set(x, y, colour);
        }
    }

    fn blend(&mut self, x: i32, y: i32, colour: [u8; 3], weight: i32) {
        let alpha = (255 * weight) >> 8;
        if let Some(pixel) = self.at(x, y) {
            for (d, s) in pixel.iter_mut().zip(colour) {
                *d = (i32::from(*d) + (((i32::from(s) - i32::from(*d)) * alpha) >> 8)) as u8;
            }
        }
    }

    /// `filled_polygon`.
    fn fill(&mut self, points: &[Point], colour: [u8; 3]) {
        let (low, high) = rows(points);
        for y in low.max(0)..=high.min(HEIGHT) {
            let mut crossings: Vec<i32> = edges(points)
                .filter(|[[_, y1], [_, y2]]| (*y1..*y2).contains(&y) || (y == high && y == *y2 && y1 < y2))
                .map(|[[x1, y1], [x2, y2]]| ((65536 * (y - y1)) / (y2 - y1)).wrapping_mul(x2 - x1).wrapping_add(65536 * x1))
                .collect();
            crossings.sort_unstable();
            for pair in crossings.chunks_exact(2) {
                self.span((pair[0] + 1 + 32768) >> 16, (pair[1] - 1 + 32768) >> 16, y, colour);
            }
        }
    }

    /// `aapolygon`.
    fn outline(&mut self, points: &[Point], colour: [u8; 3]) {
        for (i, &point) in points.iter().enumerate() {
            self.line(point, points[(i + 1) % points.len()], colour);
        }
    }

    fn line(&mut self, a: Point, b: Point, colour: [u8; 3]) {
        let Some([first, other]) = clipped(a, b) else { return };
        let [[mut x, mut y], [xe, ye]] = if first[1] > other[1] { [other, first] } else { [first, other] };
        let (dx, dy, sign) = ((xe - x).abs(), ye - y, if xe >= x { 1 } else { -1 });
        if dx == 0 {
            (y..=ye).for_each(|y| self.set(x, y, colour));
        } else if dy == 0 {
            // A line to the left is a pixel.
            if xe > x { self.span(x, xe, y, colour) } else { self.set(first[0], first[1], colour) }
        } else {
            self.set(first[0], first[1], colour);
            let (major, minor) = (dx.max(dy) as u32, dx.min(dy) as u32);
            let adjustment = ((minor << 16) / major) << 16;
            let mut error = 0u32;
            for _ in 1..major {
                let before = error;
                error = error.wrapping_add(adjustment);
                let over = error <= before;
                let weight = (error >> 24) as i32;
                if dy > dx {
                    y += 1;
                    x += if over { sign } else { 0 };
                    self.blend(x, y, colour, 255 - weight);
                    self.blend(x + sign, y, colour, weight);
                } else {
                    x += sign;
                    y += i32::from(over);
                    self.blend(x, y, colour, 255 - weight);
                    self.blend(x, y + 1, colour, weight);
                }
            }
        }
    }

    /// `pygame.draw.polygon`.
    fn polygon(&mut self, points: &[Point], colour: [u8; 3]) {
        let (low, high) = rows(points);
        if low == high {
            let (left, right) = rows(&points.iter().map(|[x, y]| [*y, *x]).collect::<Vec<_>>());
            return self.span(left, right, low, colour);
        }
        for y in low.max(0)..=high.min(HEIGHT) {
            let mut crossings = Vec::new();
            for [[x1, y1], [x2, y2]] in edges(points) {
                if (y1..y2).contains(&y) || (y == high && y == y2 && y1 < y2) {
                    let x = (i64::from(y - y1) * i64::from(x2 - x1)) as f32 / (y2 - y1) as f32;
                    crossings.push(x1 + if crossings.len() % 2 == 0 { x.floor() } else { x.ceil() } as i32);
                }
            }
            crossings.sort_unstable();
            for pair in crossings.chunks_exact(2) {
                self.span(pair[0], pair[1], y, colour);
            }
        }
        for [[x1, y1], [x2, y2]] in edges(points) {
            if y1 == y2 && low < y1 && y1 < high {
                self.span(x1, x2, y1, colour);
            }
        }
    }
}

fn rows(points: &[Point]) -> (i32, i32) {
    (points.iter().map(|p| p[1]).min().unwrap(), points.iter().map(|p| p[1]).max().unwrap())
}

/// The edges, the one that closes the polygon first, each upwards.
fn edges(points: &[Point]) -> impl Iterator<Item = [Point; 2]> {
    let n = points.len();
    (0..n).map(move |i| {
        let (a, b) = (points[(i + n - 1) % n], points[i]);
        if a[1] > b[1] { [b, a] } else { [a, b] }
    })
}

/// Cohen and Sutherland's clipping with SDL_gfx's truncations.
fn clipped(mut a: Point, mut b: Point) -> Option<[Point; 2]> {
    let code =
        |[x, y]: Point| u8::from(x < 0) | u8::from(x >= WIDTH) << 1 | u8::from(y < 0) << 2 | u8::from(y >= HEIGHT) << 3;
    loop {
        if code(a) | code(b) == 0 {
            return Some([a, b]);
        }
        if code(a) & code(b) != 0 {
            return None;
        }
        if code(a) == 0 {
            (a, b) = (b, a);
        }
        let m = if a[0] == b[0] { 1.0 } else { (b[1] - a[1]) as f32 / (b[0] - a[0]) as f32 };
        if a[0] < 0 || a[0] >= WIDTH {
            let edge = if a[0] < 0 { 0 } else { WIDTH - 1 };
            a = [edge, a[1] + ((edge - a[0]) as f32 * m) as i32];
        } else {
            let edge = if a[1] < 0 { 0 } else { HEIGHT - 1 };
            let x = if a[0] == b[0] { 0 } else { ((edge - a[1]) as f32 / m) as i32 };
            a = [a[0] + x, edge];
        }
    }
}

/// One axis of `smoothscale`: `length` values that lie `stride` apart become 96.
fn shrink(values: impl Fn(usize) -> u32, length: u32, mut put: impl FnMut(usize, u8)) {
    let step = 16384 * length / 96;
    let scale = (1 << 30) / step;
    let (mut pixel, mut sum, mut part) = (0, 0, 16384);
    for cell in 0..96 {
        let mut wanted = step;
        if part < 16384 {
            wanted -= part;
            sum = (4 * values(pixel) * part) >> 16;
            pixel += 1;
        }
        while wanted >= 16384 {
            sum += values(pixel);
            pixel += 1;
            wanted -= 16384;
        }
        sum += if wanted > 0 { (4 * values(pixel) * wanted) >> 16 } else { 0 };
        part = 16384 - wanted;
        put(cell, ((sum * scale) >> 16) as u8);
        sum = 0;
    }
}

/// The picture of a scene.
pub(super) fn picture(scene: &Scene<'_>, score: Option<&ScoreTable>) -> Vec<u8> {
    let mut screen = Screen(vec![[0; 3]; (WIDTH * HEIGHT) as usize]);
    let view = View::of(scene);
    let margin = GRASS_DIAGONAL;
    let polygon = |screen: &mut Screen, world: [[f64; 2]; 4], colour, clip| {
        let near = |[x, y]: [f64; 2]| (-margin..=1000.0 + margin).contains(&x) && (-margin..=800.0 + margin).contains(&y);
        if clip && !world.iter().any(|&p| near(view.exact(p))) {
            return;
        }
        let points = world.map(|p| view.pixel(p));
        screen.outline(&points, colour);
        screen.fill(&points, colour);
    };
    polygon(&mut screen, FIELD, scene.background, false);
    for x in (-20..20).step_by(2) {
        for y in (-20..20).step_by(2) {
            polygon(&mut screen, grass(x, y), scene.grass, true);
        }
    }
    for quad in scene.road {
        polygon(&mut screen, quad.vertices, quad.colour, true);
    }
    for wheel in &scene.wheels {
        let on_screen = |points: &[[f32; 2]]| points.iter().map(|&p| view.pixel_of(&wheel.pose, p)).collect::<Vec<_>>();
        screen.polygon(&on_screen(wheel.polygon), WHEEL);
        if let Some(stripe) = stripe(wheel.phase) {
            screen.polygon(&on_screen(&stripe), STRIPE);
        }
    }
    for part in scene.hull.polygons {
        screen.polygon(&part.iter().map(|&p| view.pixel_of(&scene.hull.pose, p)).collect::<Vec<_>>(), HULL);
    }
    screen.0 = screen.0.chunks_exact(WIDTH as usize).rev().flatten().copied().collect();
    indicators(&mut screen, scene);

    let mut narrow = vec![[0u8; 3]; 96 * HEIGHT as usize];
    for (y, row) in screen.0.chunks_exact(WIDTH as usize).enumerate() {
        for c in 0..3 {
            shrink(|x| u32::from(row[x][c]), 1000, |cell, value| narrow[y * 96 + cell][c] = value);
        }
    }
    let mut out = vec![0u8; 96 * 96 * 3];
    for x in 0..96 {
        for c in 0..3 {
            shrink(|y| u32::from(narrow[y * 96 + x][c]), 800, |cell, value| out[(cell * 96 + x) * 3 + c] = value);
        }
    }
    if let Some(table) = score {
        table.write(scene.reward, &mut out);
    }
    out
}

/// `MAX_SHAPE_DIM`: nothing that is further from the screen is drawn.
const GRASS_DIAGONAL: f64 = PLAYFIELD / 20.0 * std::f64::consts::SQRT_2 * 2.7 * 6.0;

fn indicators(screen: &mut Screen, scene: &Scene<'_>) {
    let (s, h, bottom) = (25.0, 20.0, 800.0);
    screen.polygon(&[[1000, 800], [1000, 700], [0, 700], [0, 800]], [0; 3]);
    let mut show = |value: f64, points: [[f64; 2]; 4], colour| {
        if value.abs() > 1e-4 {
            screen.polygon(&points.map(pixel), colour);
        }
    };
    let upright = |place: f64, value: f64| {
        let top = bottom - (h + h * value);
        [[place * s, top], [(place + 1.0) * s, top], [(place + 1.0) * s, bottom - h], [place * s, bottom - h]]
    };
    let lying = |place: f64, value: f64| {
        let end = (place + value) * s;
        [[place * s, bottom - 4.0 * h], [end, bottom - 4.0 * h], [end, bottom - 2.0 * h], [place * s, bottom - 2.0 * h]]
    };
    let [vx, vy] = scene.hull.velocity.map(f64::from);
    let speed = (vx * vx + vy * vy).sqrt();
    show(speed, upright(5.0, 0.02 * speed), [255; 3]);
    for ((wheel, place), red) in scene.wheels.iter().zip([7.0, 8.0, 9.0, 10.0]).zip([0, 0, 51, 51]) {
        show(wheel.omega, upright(place, 0.01 * wheel.omega), [red, 0, 255]);
    }
    let steering = f64::from(scene.wheels[0].joint_angle);
    show(steering, lying(20.0, -10.0 * steering), [0, 255, 0]);
    let turning = f64::from(scene.hull.angular_velocity);
    show(turning, lying(30.0, -0.8 * turning), [255, 0, 0]);
}
