/** An entry in the menu of every image; the answer comes in a window of its own, which ends its work when it is closed. */
chrome.runtime.onInstalled.addListener(() => {
  chrome.contextMenus.create({ id: 'describe', title: 'Describe this image', contexts: ['image'] });
});

chrome.contextMenus.onClicked.addListener(({ srcUrl }) => {
  const url = `answer.html?${new URLSearchParams({ image: srcUrl ?? '' })}`;
  void chrome.windows.create({ url, type: 'popup', width: 480, height: 560 });
});
