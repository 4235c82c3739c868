const dialog = document.getElementById("enlarged");
document.addEventListener("click", (event) => {
  const picture = event.target.closest(".enlarge");
  if (picture) {
    dialog.replaceChildren(picture.firstElementChild.cloneNode());
    dialog.showModal();
  } else if (event.target.closest("#enlarged")) {
    dialog.close();
  }
});

const viewer = document.getElementById("viewer");
const stored = (id) => document.getElementById(id).content.textContent;

async function unpack(id) {
  const packed = Uint8Array.from(atob(stored(id)), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function startViewer() {
  const settings = JSON.parse(stored("viewer-settings"));
  const [ct, labels] = await Promise.all([unpack("viewer-ct"), unpack("viewer-labels")]);
  const { shape, voxelMm } = settings;
  const strides = [shape[1] * shape[2], shape[2], 1];
  const colors = settings.colors.slice(0, 2).map((color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)));
  const control = (name) => viewer.querySelector(`[name="${name}"]`);
  const cross = [...settings.center];
  const levels = new Uint8Array(256); // gray of each stored value in the chosen window

  // Along which axes the pictures of each plane run: the slices of plane 0 have rows downward and columns across.
  const planes = [[1, 2], [0, 2], [0, 1]].map(([down, across], axis) => {
    const figure = viewer.querySelectorAll("figure")[axis];
    const plane = { axis, down, across, canvas: figure.querySelector("canvas"), rest: 0 };
    plane.slider = figure.querySelector("input");
    plane.caption = figure.querySelector("figcaption");
    plane.picture = new OffscreenCanvas(shape[across], shape[down]);
    plane.slider.max = shape[axis] - 1;
    plane.canvas.style.aspectRatio = `${shape[across] * voxelMm[across]} / ${shape[down] * voxelMm[down]}`;
    return plane;
  });

  // The index in the CT's own file of one of the viewer's slices.
  function fileIndex(axis, index) {
    const inCt = settings.start[axis] + Math.floor(((index + 0.5) * settings.count[axis]) / shape[axis]);
    return [settings.first[axis] + settings.direction[axis] * inCt, inCt];
  }

  // Lines between voxels of different labels of the reference.
  function outlineReference(plane, pen, toX, toY) {
    const reference = (at) => Math.floor(labels[at] / 3);
    const [width, height] = [shape[plane.across], shape[plane.down]];
    const [across, down] = [strides[plane.across], strides[plane.down]];
    for (let y = 0; y < height; y++) {
      for (let x = 0, at = cross[plane.axis] * strides[plane.axis] + y * down; x < width; x++, at += across) {
        if (x + 1 < width && reference(at) !== reference(at + across)) {
          pen.moveTo(toX(x + 1), toY(y));
          pen.lineTo(toX(x + 1), toY(y + 1));
        }
        if (y + 1 < height && reference(at) !== reference(at + down)) {
          pen.moveTo(toX(x), toY(y + 1));
          pen.lineTo(toX(x + 1), toY(y + 1));
        }
      }
    }
  }

  function paint(plane) {
    const [width, height] = [shape[plane.across], shape[plane.down]];
    const pixels = new ImageData(width, height);
    const share = control("overlay").checked ? control("opacity").value / 100 : 0;
    for (let y = 0, to = 0; y < height; y++) {
      let from = cross[plane.axis] * strides[plane.axis] + y * strides[plane.down];
      for (let x = 0; x < width; x++, to += 4, from += strides[plane.across]) {
        const gray = levels[ct[from]];
        const label = labels[from] % 3;
        const [color, weight] = [colors[label - 1], label ? share : 0];
        for (let channel = 0; channel < 3; channel++) {
          pixels.data[to + channel] = weight ? gray + weight * (color[channel] - gray) : gray;
        }
        pixels.data[to + 3] = 255;
      }
    }
    plane.picture.getContext("2d").putImageData(pixels, 0, 0);
  }

  // The part of a plane that is shown: all of it, or less around the cross; it does not move beneath the pointer.
  function shownPart(plane) {
    if (plane.held) return plane.held;
    const zoom = Number(control("zoom").value);
    return [plane.across, plane.down].map((axis) => {
      const size = shape[axis] / zoom;
      return [Math.min(Math.max(cross[axis] + 0.5 - size / 2, 0), shape[axis] - size), size];
    });
  }

  function draw(plane) {
    paint(plane);
    const { canvas } = plane;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
    const [[left, width], [top, height]] = shownPart(plane);
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(plane.picture, left, top, width, height, 0, 0, canvas.width, canvas.height);
    const toX = (index) => ((index - left) / width) * canvas.width;
    const toY = (index) => ((index - top) / height) * canvas.height;
    if (control("overlay").checked) {
      pen.strokeStyle = settings.colors[2];
      pen.lineWidth = 1.5 * scale;
      pen.beginPath();
      outlineReference(plane, pen, toX, toY);
      pen.stroke();
    }
    const [x, y, gap] = [toX(cross[plane.across] + 0.5), toY(cross[plane.down] + 0.5), 12 * scale];
    pen.strokeStyle = "#ffffff80";
    pen.lineWidth = scale;
    pen.beginPath();
    for (const [fromX, fromY, toX, toY] of [[0, y, x - gap, y], [x + gap, y, canvas.width, y], [x, 0, x, y - gap],
      [x, y + gap, x, canvas.height]]) {
      pen.moveTo(fromX, fromY);
      pen.lineTo(toX, toY);
    }
    pen.stroke();
    pen.fillStyle = "#f2f2f2";
    pen.font = `${13 * scale}px sans-serif`;
    const [right, end, middle] = [canvas.width - 14 * scale, canvas.height - 6 * scale, 0.5];
    [[4 * scale, canvas.height * middle], [right, canvas.height * middle], [canvas.width * middle, 15 * scale],
      [canvas.width * middle, end]].forEach((place, number) => {
      pen.fillText(settings.edges[plane.axis][number], ...place);
    });
    const [index, inCt] = fileIndex(plane.axis, cross[plane.axis]);
    const image = plane.axis === 0 && settings.instances.length ? `, image ${settings.instances[inCt]}` : "";
    plane.caption.textContent = `${settings.planes[plane.axis]}, slice ${index}${image}`;
    plane.slider.value = cross[plane.axis];
    plane.slider.setAttribute("aria-valuetext", plane.caption.textContent);
  }

  let isWaiting = false;
  function redraw() {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => {
      isWaiting = false;
      planes.forEach(draw);
    });
  }

  // Move the cross along an axis; return whether it could.
  function move(axis, index) {
    const before = cross[axis];
    cross[axis] = Math.min(Math.max(Math.round(index), 0), shape[axis] - 1);
    if (cross[axis] !== before) redraw();
    return cross[axis] !== before;
  }

  function zoomBy(step) {
    control("zoom").value = Number(control("zoom").value) + step;
    redraw();
  }

  for (const plane of planes) {
    const { axis, canvas, slider } = plane;
    const point = (event) => {
      const area = canvas.getBoundingClientRect();
      const [[left, width], [top, height]] = plane.held;
      move(plane.across, left + ((event.clientX - area.left) / area.width) * width - 0.5);
      move(plane.down, top + ((event.clientY - area.top) / area.height) * height - 0.5);
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      plane.held = shownPart(plane);
      point(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (plane.held && event.buttons) point(event);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => {
        plane.held = null;
        redraw();
      });
    }
    canvas.addEventListener("wheel", (event) => {
      if (event.ctrlKey) {
        zoomBy(-Math.sign(event.deltaY) / 2);
        event.preventDefault();
        return;
      }
      plane.rest += event.deltaY * (event.deltaMode ? 30 : 1); // a notch is 100 pixels, a touchpad sends a few
      const steps = Math.abs(event.deltaY) >= 50 ? Math.sign(event.deltaY) : Math.trunc(plane.rest / 25);
      if (steps) plane.rest = 0;
      if (!steps || move(axis, cross[axis] + steps)) event.preventDefault(); // beyond the last slice the page scrolls
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const steps = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1, PageUp: -10, PageDown: 10,
        Home: -Infinity, End: Infinity }[event.key];
      if (steps) move(axis, Math.min(Math.max(cross[axis] + steps, 0), shape[axis]));
      else if (event.key === "o") control("overlay").click();
      else if (event.key === "+" || event.key === "-") zoomBy(event.key === "+" ? 0.5 : -0.5);
      else return;
      event.preventDefault();
    });
    slider.addEventListener("input", () => move(axis, Number(slider.value)));
  }

  function setWindow() {
    const [low, high] = control("window").value.split(" ").map(Number);
    const [first, last] = settings.rangeHu;
    levels.forEach((_, stored) => {
      const hu = first + (stored * (last - first)) / 255;
      levels[stored] = Math.round(255 * Math.min(Math.max((hu - low) / (high - low), 0), 1));
    });
    redraw();
  }
  control("window").addEventListener("input", setWindow);
  for (const name of ["overlay", "opacity", "zoom"]) control(name).addEventListener("input", redraw);
  viewer.querySelectorAll("button[data-target]").forEach((button) => button.addEventListener("click", () => {
    settings.targets[button.dataset.target].forEach((index, axis) => move(axis, index));
  }));
  viewer.hidden = false;
  setWindow();
  new ResizeObserver(redraw).observe(viewer);
}

if (viewer && "DecompressionStream" in window) startViewer();
