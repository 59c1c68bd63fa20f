// What can be used but says nothing of itself to a screen reader.
() => [...document.querySelectorAll('a, button, input, select, textarea, [role=region], dialog')]
  .filter(each => each.checkVisibility() && !(each.getAttribute('aria-label') || each.getAttribute('aria-labelledby')
    || each.textContent.trim() || each.labels?.length || each.querySelector('img[alt]:not([alt=""])')))
  .map(each => each.outerHTML.slice(0, 120))
