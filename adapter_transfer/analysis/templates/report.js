// Draws the plots. Until then, and without JavaScript, each place shows its plot's text alternative.
// `ast` lets Vega interpret its expressions instead of compiling them, which the page's policy forbids.
for (const [number, spec] of JSON.parse(document.getElementById("specs").textContent).entries()) {
  const place = document.getElementById(`plot-${number}`);
  const text = place.firstElementChild;
  place.removeChild(text);
  vegaEmbed(place, spec, { actions: false, ast: true, renderer: "svg", tooltip: { disableDefaultStyle: true } })
    .catch((error) => {
      console.error(error);
      place.replaceChildren(text);
    });
}
