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

  const stop = (): void => {
    const stream = video.srcObject;
    if (stream instanceof MediaStream) for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
    shutter.disabled = true;
  };
  on(open, 'click', async () => {
    dialog.showModal();
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
      video.srcObject = stream;
      // It was closed before the user agreed.
      if (!dialog.open) return stop();
      await video.play();
      shutter.disabled = false;
    } catch (cause) {
      if (!dialog.open) return;
      dialog.close();
      failure.set(new Error('There is no camera, or this page may not use it.', { cause }));
    }
  });
  on(shutter, 'click', () => {
    show(pictureOfFrame(video, 'A picture from the camera'));
    dialog.close();
  });
  on(byId('camera-close'), 'click', () => dialog.close());
  on(dialog, 'close', stop);
}
