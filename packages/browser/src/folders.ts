/** Where models lie in the origin private file system (OPFS): `llava-sp/models/<folder>/<file>`. */
const PATH = ['llava-sp', 'models'];

export async function root(create: boolean): Promise<FileSystemDirectoryHandle> {
  let folder = await navigator.storage.getDirectory();
  for (const name of PATH) folder = await folder.getDirectoryHandle(name, { create });
  return folder;
}

/** One model's. */
export async function folderOf(folder: string, create = false): Promise<FileSystemDirectoryHandle> {
  return (await root(create)).getDirectoryHandle(folder, { create });
}

/** A worker that was killed with its page lets go of its files a little later. */
const TRIES = 20;
const PAUSE = 100;

/** Tries again while another page or worker holds a file: 2 s. */
export async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      const held = error instanceof DOMException && error.name === 'NoModificationAllowedError';
      if (!held || tries === TRIES) throw error;
      await new Promise((done) => setTimeout(done, PAUSE));
    }
  }
}
