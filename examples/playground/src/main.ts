/** The page: it wires the parts, and begins with the demo model. */
import './style/page.css';
import './style/controls.css';
import './style/stage.css';
import './style/panels.css';
import { firstChoice, loadChoice } from './loader.ts';
import { setUpOffline } from './offline.ts';
import { setUpTools } from './scene/tools.ts';
import { setUpCamera } from './view/camera.ts';
import { setUpFacts } from './view/facts.ts';
import { setUpFind } from './view/find.ts';
import { setUpHeat } from './view/heat_panel.ts';
import { openFolder, setUpModelDialog } from './view/model_dialog.ts';
import { setUpSources } from './view/sources.ts';
import { setUpStage } from './view/stage.ts';
import { setUpTabs } from './view/tabs.ts';
import { setUpTalk } from './view/talk.ts';

setUpStage();
setUpTools();
setUpSources(openFolder);
setUpCamera();
setUpTabs();
setUpTalk();
setUpFind();
setUpHeat();
setUpFacts();
setUpModelDialog();
void loadChoice(firstChoice());
// Its downloads would compete with the model's.
window.addEventListener('load', () => void setUpOffline());
