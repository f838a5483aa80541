// A formula wider than the screen can be scrolled by keyboard, too.
function reach() {
  for (const formula of document.querySelectorAll(".formula")) {
    if (formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0;
    else formula.removeAttribute("tabindex");
  }
}
addEventListener("load", reach);
addEventListener("resize", reach);
