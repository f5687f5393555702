/** Taking a picture. The camera runs while the dialog is open, and no longer. */
import { byId, on } from '../dom.ts';
import { pictureOfFrame } from '../picture.ts';
import { failure, show } from '../state.ts';

export function setUpCamera(): void {
  const open = byId('camera');
  const dialog = byId<HTMLDialogElement>('camera-dialog');
  const video = byId<HTMLVideoElement>('camera-video');
  const shutter = byId<HTMLButtonElement>('shutter');
  // Browsers have none in pages that are not secure.
  open.hidden = !('mediaDevices' in navigator);

  /** Of the dialog, each time that it is opened; `null` while it is closed. */
  let opening: symbol | null = null;
  const close = (): void => {
    opening = null;
    if (video.srcObject instanceof MediaStream) stop(video.srcObject);
    video.srcObject = null;
    shutter.disabled = true;
  };
  on(open, 'click', async () => {
    const mine = (opening = Symbol('opening'));
    dialog.showModal();
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
      // It was closed before the user agreed, and perhaps opened again.
      if (opening !== mine) return stop(stream);
      video.srcObject = stream;
      await video.play();
      shutter.disabled = opening !== mine;
    } catch (cause) {
      if (opening !== mine) return;
      dialog.close();
      failure.set(new Error('There is no camera, or this page may not use it.', { cause }));
    }
  });
  on(shutter, 'click', () => {
    show(pictureOfFrame(video, 'A picture from the camera'));
    dialog.close();
  });
  on(byId('camera-close'), 'click', () => dialog.close());
  on(dialog, 'close', close);
}

function stop(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
