//! SVG output: shapes, colours, and escaped text.

/// Colours that can be distinguished with any kind of colour vision: Okabe and Ito, "Color Universal Design" (2008),
/// without the yellow, which is faint on white.
const COLOURS: [&str; 7] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];
/// Further series repeat the colours with other dash patterns.
const DASHES: [&str; 3] = ["", "8 4", "2 4"];

/// A drawing under construction.
pub struct Canvas(String);

impl Canvas {
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        let mut canvas = Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\" \
             font-family=\"DejaVu Sans, Verdana, sans-serif\">\n",
            escaped(title)
        ));
        canvas.rectangle(0.0, 0.0, width, height, "#FFFFFF");
        canvas
    }

    pub fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        self.put(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>"
        ));
    }

    /// Draws a straight line from the first two numbers to the last two.
    pub fn rule(&mut self, [x1, y1, x2, y2]: [f64; 4], colour: &str, style: &str) {
        self.put(&format!("<path d=\"M{x1:.1},{y1:.1}L{x2:.1},{y2:.1}\" stroke=\"{colour}\" {style}/>"));
    }

    /// Draws a path in the colour and dash pattern of series `number`.
    pub fn line(&mut self, path: &str, number: usize) {
        if path.is_empty() {
            return;
        }
        let colour = COLOURS[number % COLOURS.len()];
        let dashes = DASHES[number / COLOURS.len() % DASHES.len()];
        let dashes = if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
        let joins = "stroke-width=\"2\" stroke-linejoin=\"round\" stroke-linecap=\"round\"";
        self.put(&format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" {joins}{dashes}/>"));
    }

    /// Draws an isolated point of series `number`.
    pub fn dot(&mut self, x: f64, y: f64, number: usize) {
        let colour = COLOURS[number % COLOURS.len()];
        self.put(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"));
    }

    pub fn text(&mut self, x: f64, y: f64, size: f64, anchor: &str, fill: &str, words: &str) {
        let place = format!("x=\"{x:.1}\" y=\"{y:.1}\"");
        let style = format!("font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{fill}\"");
        self.put(&format!("<text {place} {style}>{}</text>", escaped(words)));
    }

    /// Draws vertical text, centred at `(x, y)`.
    pub fn upright_text(&mut self, x: f64, y: f64, size: f64, fill: &str, words: &str) {
        let place = format!("transform=\"translate({x:.1},{y:.1}) rotate(-90)\"");
        let style = format!("font-size=\"{size}\" text-anchor=\"middle\" fill=\"{fill}\"");
        self.put(&format!("<text {place} {style}>{}</text>", escaped(words)));
    }

    /// Draws a whole drawing with its left upper corner at `(x, y)`.
    pub fn drawing(&mut self, x: f64, y: f64, svg: &str) {
        self.put(&format!("<g transform=\"translate({x:.1},{y:.1})\">\n{svg}</g>"));
    }

    fn put(&mut self, element: &str) {
        self.0.push_str(element);
        self.0.push('\n');
    }

    pub fn finish(self) -> String {
        self.0 + "</svg>\n"
    }
}

/// Escapes `words` for XML: markup is escaped, characters that XML forbids are replaced.
fn escaped(words: &str) -> String {
    let mut escaped = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
