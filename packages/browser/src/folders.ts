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
